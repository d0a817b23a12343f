package httpx

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// ErrForwarded means that what a proxy forwarded about the original request
// cannot be believed: something needed is missing, or it can be read in more
// than one way.
var ErrForwarded = errors.New("forwarded headers refused")

// original is the request a proxy asks about.
type original struct {
	Method string // as the client sent it; "" if the proxy did not say
	origin origin
	uri    string // path and query as the client sent them, judged by checkURI; "" where the dialect allows none and none was sent
}

// URL is the absolute URL of the request, nil if the proxy did not say. It is
// made only when somebody is sent there: most checks are allowed.
//
// Nothing in the path can lead to another host: the origin is written out, ends
// with the slash that the path begins with, and only then is it parsed. What
// net/url would have to encode is encoded here, byte by byte; it would decode
// the whole path first and so lose which slashes were written %2F.
func (o original) URL() *url.URL {
	if o.uri == "" {
		return nil
	}
	path, query := cutBefore(o.uri, "?")
	u, err := url.Parse(o.origin.String() + percentEncode(path, "\"<>`{}|^") + percentEncode(query, ""))
	if err != nil {
		return nil // checkURI has refused what cannot be parsed
	}
	return u
}

// originalFromURL reads the headers of nginx and ingress-nginx: X-Original-URL
// (scheme://host/uri) and X-Original-Method. A plain check needs neither.
//
// X-Forwarded-Proto, -Host and -For are not looked at, since a load balancer
// before nginx sets them rightly. X-Forwarded-Uri and -Method nobody sets here
// but a client, or a proxy of the other family that was given this endpoint.
// Errors wrap ErrForwarded and never hold a query string.
func originalFromURL(h http.Header) (original, error) {
	if err := refusePresent(h, "X-Forwarded-Uri", "X-Forwarded-Method"); err != nil {
		return original{}, err
	}
	method, err := forwardedMethod(h, "X-Original-Method")
	if err != nil {
		return original{}, err
	}
	const name = "X-Original-Url"
	value, ok, err := single(h, name)
	if err != nil {
		return original{}, err
	}
	if !ok {
		return original{Method: method}, nil
	}
	scheme, rest, ok := strings.Cut(value, "://")
	if !ok {
		return original{}, refuse(name, "not of the form scheme://host/uri")
	}
	host, uri := cutBefore(rest, "/")
	o, err := parseOrigin(scheme, host)
	if err != nil {
		return original{}, refuse(name, "%w%s", err, excerpt(scheme+"://"+host))
	}
	if err := checkURI(uri); err != nil {
		return original{}, refuse(name, "%w", err)
	}
	return original{method, o, uri}, nil
}

// originalFromForwarded reads the headers of Traefik and Caddy:
// X-Forwarded-Proto, -Host and -Uri, and -Method, which may be missing. A
// client can have a proxy drop any of them by naming it in Connection, so that
// one which is missing is a refusal and not a default. Errors wrap
// ErrForwarded and never hold a query string.
func originalFromForwarded(h http.Header) (original, error) {
	if err := refusePresent(h, "X-Original-Url", "X-Original-Method"); err != nil {
		return original{}, err
	}
	method, err := forwardedMethod(h, "X-Forwarded-Method")
	if err != nil {
		return original{}, err
	}
	proto, err := needed(h, "X-Forwarded-Proto")
	if err != nil {
		return original{}, err
	}
	host, err := needed(h, "X-Forwarded-Host")
	if err != nil {
		return original{}, err
	}
	uri, err := needed(h, "X-Forwarded-Uri")
	if err != nil {
		return original{}, err
	}
	// A comma joins the values of several proxies, and which of them is right
	// depends on the reader. (A Uri may have commas of its own.)
	if strings.Contains(proto, ",") {
		return original{}, refuse("X-Forwarded-Proto", "more than one value%s", excerpt(proto))
	}
	if strings.Contains(host, ",") {
		return original{}, refuse("X-Forwarded-Host", "more than one value%s", excerpt(host))
	}
	// Traefik says ws and wss for the handshake of a WebSocket, which is an
	// ordinary request, when its forwardAuth trusts forwarded headers.
	scheme := strings.ToLower(proto)
	switch scheme {
	case "ws":
		scheme = "http"
	case "wss":
		scheme = "https"
	}
	o, err := parseOrigin(scheme, host)
	if errors.Is(err, errScheme) {
		return original{}, refuse("X-Forwarded-Proto", "%w%s", err, excerpt(proto))
	}
	if err != nil {
		return original{}, refuse("X-Forwarded-Host", "%w%s", err, excerpt(host))
	}
	if err := checkURI(uri); err != nil {
		return original{}, refuse("X-Forwarded-Uri", "%w", err)
	}
	return original{method, o, uri}, nil
}

// checkURI refuses what can be read in two ways.
func checkURI(uri string) error {
	if !strings.HasPrefix(uri, "/") {
		return errors.New("the path must begin with a slash")
	}
	for i := 0; i < len(uri); i++ {
		switch uri[i] {
		case '#':
			// No client sends a fragment. A rule that stops reading at it and an
			// application that does not would see two paths (oauth2-proxy
			// CVE-2026-41059).
			return errors.New("it has a fragment")
		case '\\':
			// A slash to browsers and some servers.
			return errors.New("a backslash in the path")
		case '%':
			if i+2 >= len(uri) || !isHex(uri[i+1]) || !isHex(uri[i+2]) {
				return errors.New("a bad percent escape in the path")
			}
		case '?': // the query is data; only a fragment could end it
			if strings.Contains(uri[i:], "#") {
				return errors.New("it has a fragment")
			}
			return nil
		}
	}
	return nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// forwardedMethod returns the method in the named header, "" if there is none.
func forwardedMethod(h http.Header, name string) (string, error) {
	method, ok, err := single(h, name)
	if err != nil || !ok {
		return "", err
	}
	if method == "" || len(method) > 32 || strings.ContainsFunc(method, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		return "", refuse(name, "not a method in capital letters%s", excerpt(method))
	}
	return method, nil
}

func needed(h http.Header, name string) (string, error) {
	value, ok, err := single(h, name)
	if err == nil && !ok {
		err = refuse(name, "missing")
	}
	return value, err
}

// single returns the one value of a header, which may be repeated if it says
// the same each time.
func single(h http.Header, name string) (value string, ok bool, err error) {
	values := h[name]
	if len(values) == 0 {
		return "", false, nil
	}
	for _, v := range values[1:] {
		if v != values[0] {
			return "", false, refuse(name, "repeated with another value")
		}
	}
	if len(values[0]) > maxURL {
		return "", false, refuse(name, "longer than %d bytes", maxURL)
	}
	for _, c := range []byte(values[0]) {
		if c <= ' ' || c == 0x7f {
			return "", false, refuse(name, "a space or control character")
		}
	}
	return values[0], true, nil
}

// forwardedNames are the headers that are believed in one family or the other,
// spelled as http.Header keeps them: looking another spelling up allocates.
var forwardedNames = []string{
	"X-Original-Url", "X-Original-Method",
	"X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri", "X-Forwarded-Method",
}

// refusePresent refuses the named headers, which belong to the other family:
// two families are two readings of the request. It also refuses X_Forwarded_Uri
// and the like, which Go's server passes on, and which some gateways on the
// way cannot tell from X-Forwarded-Uri; only an attacker sends them.
func refusePresent(h http.Header, names ...string) error {
	for _, name := range names {
		if len(h[name]) > 0 {
			return refuse(name, "it belongs to the other kind of proxy; use the endpoint made for yours")
		}
	}
	for key := range h {
		if !strings.Contains(key, "_") {
			continue
		}
		dashed := strings.ReplaceAll(key, "_", "-")
		for _, name := range forwardedNames {
			if strings.EqualFold(dashed, name) {
				return refuse(name, "written with underscores")
			}
		}
	}
	return nil
}

func refuse(header, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %w", ErrForwarded, header, fmt.Errorf(format, args...))
}

// excerpt quotes the beginning of a value for an error. It ends before what
// may be secret: a query string, and all of a value with a user and password.
func excerpt(value string) string {
	if strings.Contains(value, "@") {
		return ""
	}
	value, _ = cutBefore(value, "?#")
	if len(value) > 40 {
		value = value[:40] + "..."
	}
	return fmt.Sprintf(": %q", value)
}

// trustedPeer reports whether a connection comes from one of the trusted
// networks. The peer of a unix socket has no address ("" or "@") and is
// trusted: only local processes with permission on the socket's file reach it.
// What cannot be parsed is not trusted, nor is a network written as
// ::ffff:10.0.0.0/104: IPv4 is compared as IPv4.
func trustedPeer(remoteAddr string, trusted []netip.Prefix) bool {
	if remoteAddr == "" || remoteAddr == "@" {
		return true
	}
	peer, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return false
	}
	// A listener on [::] sees IPv4 peers as ::ffff:10.0.0.1, and link-local ones
	// with a zone; a Prefix contains neither.
	addr := peer.Addr().Unmap().WithZone("")
	for _, p := range trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
