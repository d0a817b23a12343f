package httpx

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// guard says whether a request may have been caused by the page that caused
// it. Browsers name that page in Fetch Metadata and in Origin; what is not a
// browser names none, and there is no other site to protect it from.
type guard func(*http.Request) error

// ownPages lets requests that change something pass if a page of this very
// origin sent them, or something that is not a browser. Sub-domains are not
// this origin.
func (s *Server) ownPages(r *http.Request) error {
	if err := s.origins.Check(r); err != nil {
		return fmt.Errorf("%w: a form of another site cannot sign you in or out", ErrCrossSite)
	}
	return nil
}

// notEmbedded lets a GET sign out when somebody goes there, and not when a
// page embeds, fetches or prefetches it.
func (s *Server) notEmbedded(r *http.Request) error {
	h := r.Header
	if prefetch(h) {
		return fmt.Errorf("%w: a prefetch does not sign out", ErrCrossSite)
	}
	switch h.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin": // without: docs/design/003-other-sites.md
		return nil
	}
	if h.Get("Sec-Fetch-Mode") == "navigate" && h.Get("Sec-Fetch-Dest") == "document" {
		return nil
	}
	return fmt.Errorf("%w: an embedded or fetched GET does not sign out", ErrCrossSite)
}

// firstParty lets a GET that sets a cookie pass only if it comes from this
// origin, the address bar, or something that is not a browser. A request
// without Fetch Metadata is taken for the latter only where a browser would
// have sent it: over https or to a loopback address.
func (s *Server) firstParty(r *http.Request) error {
	h := r.Header
	if prefetch(h) {
		return fmt.Errorf("%w: a prefetch does not touch cookies", ErrCrossSite)
	}
	switch h.Get("Sec-Fetch-Site") {
	case "none", "same-origin":
		return nil
	case "":
		if s.trustworthy(s.BaseURL) && (Loopback(r.Host) || strings.EqualFold(r.Host, s.BaseURL.Host)) {
			return nil
		}
		return fmt.Errorf("%w: nothing says which site asks, and a browser may be silent about it over plain http and to another host than that of AUTHSVC_BASE_URL", ErrCrossSite)
	}
	return fmt.Errorf("%w: the cookie routes answer only this site's own pages, the address bar and clients that are not browsers", ErrCrossSite)
}

// prefetch reports a request that nobody made on purpose yet.
func prefetch(h http.Header) bool { return strings.Contains(h.Get("Sec-Purpose"), "prefetch") }

// trustworthy reports whether browsers send Fetch Metadata to u (W3C Secure
// Contexts, "potentially trustworthy origin").
func (s *Server) trustworthy(u *url.URL) bool { return u.Scheme == "https" || Loopback(u.Host) }

// Loopback reports whether host, with or without a port, is this machine by a
// name that browsers do not look up.
func Loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
