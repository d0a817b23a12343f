package httpx

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// The tutorial's raw cookies. They set, show and delete cookies that mean
// nothing here, and keep away from those that do.

const (
	rawName    = "name"
	rawValue   = "letian"
	rawSeconds = 6 * 60

	maxRawName    = 64          // bytes
	maxRawValue   = 1024        // bytes
	maxRawSeconds = 400 * 86400 // as long as browsers keep one (RFC 6265bis §5.5)
	maxRawCookies = 50          // of one host, which is as many as RFC 6265 §6.1 promises
	maxRawHeader  = 4096        // bytes of all cookies: proxies read 8 KB of them in one line, or lock the browser out
)

func (s *Server) addCookie(w *exchange, r *http.Request) error {
	q, err := rawQuery(r, "name", "value", "max_age")
	if err != nil {
		return err
	}
	name, err := s.rawCookieName(q)
	if err != nil {
		return err
	}
	value, seconds := rawValue, rawSeconds
	if q.Has("value") {
		value = q.Get("value")
	}
	if len(value) > maxRawValue || strings.ContainsFunc(value, notCookieOctet) {
		return fmt.Errorf("%w: value: at most %d printable ASCII characters without space, quotes, comma, semicolon and backslash (write others percent-encoded, twice)", ErrRequest, maxRawValue)
	}
	if q.Has("max_age") {
		seconds, err = strconv.Atoi(q.Get("max_age"))
		if err != nil || seconds < 1 || seconds > maxRawSeconds {
			return fmt.Errorf("%w: max_age: a number of seconds from 1 to %d (/del deletes)", ErrRequest, maxRawSeconds)
		}
	}
	count, size, before, replaces := 1, len(name)+1+len(value), 0, false
	for p := range pairs(r.Header) {
		length := len("; ") + len(p.name) + 1 + len(p.value)
		before += length
		if p.name == name {
			replaces = true
			continue
		}
		count++
		size += length
	}
	if count > maxRawCookies && !replaces || size > maxRawHeader && size > before {
		return fmt.Errorf("%w: with it the browser would have %d cookies of this host with %d bytes, %d and %d are the most: delete some first", ErrRequest, count, size, maxRawCookies, maxRawHeader)
	}
	w.Header().Add("Set-Cookie", s.rawCookie(name, value, seconds))
	writeText(w, http.StatusOK, "add cookies")
	return nil
}

func (s *Server) deleteCookie(w *exchange, r *http.Request) error {
	q, err := rawQuery(r, "name")
	if err != nil {
		return err
	}
	name, err := s.rawCookieName(q)
	if err != nil {
		return err
	}
	w.Header().Add("Set-Cookie", s.rawCookie(name, "", -1))
	writeText(w, http.StatusOK, "delete cookies")
	return nil
}

// showCookies lists the cookies of the request. A session in the answer's text
// could be read by a script that HttpOnly keeps from the cookie, so neither
// our cookie's value is shown nor what looks like a JWT under another name.
func (s *Server) showCookies(w *exchange, r *http.Request) error {
	type cookie struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	all := []cookie{}
	lines := []string{}
	for p := range pairs(r.Header) {
		if s.reserved(p.name) || strings.HasPrefix(p.value, "ey") && strings.Count(p.value, ".") == 2 {
			p.value = "(hidden)"
		}
		all = append(all, cookie{p.name, p.value})
		lines = append(lines, p.name+"="+p.value)
	}
	if wants(r) == jsonText {
		writeJSON(w, http.StatusOK, all)
		return nil
	}
	writeText(w, http.StatusOK, strings.Join(lines, "\n"))
	return nil
}

// rawQuery refuses parameters it does not know: ?max-age= would otherwise be a
// cookie of six minutes and no explanation.
func rawQuery(r *http.Request, known ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("%w: query string", ErrRequest)
	}
	if err := onlyKnown(q, known...); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return q, nil
}

func (s *Server) rawCookieName(q url.Values) (string, error) {
	name := rawName
	if q.Has("name") {
		name = q.Get("name")
	}
	switch {
	case name == "" || len(name) > maxRawName || strings.ContainsFunc(name, notToken):
		return "", fmt.Errorf("%w: name: 1 to %d letters, digits and !#$%%&'*+-.^_`|~", ErrRequest, maxRawName)
	case s.reserved(name):
		return "", fmt.Errorf("%w: name: %q belongs to the service, or has a prefix that browsers keep for safe cookies", ErrRequest, name)
	}
	return name, nil
}

// reserved reports names that the raw routes keep away from: the session's
// with and without its prefix, the service's own, and every name that begins
// as __Host- and __Secure- do. Browsers compare those without case.
func (s *Server) reserved(name string) bool {
	n := strings.ToLower(name)
	session := strings.ToLower(s.Cookie.Name)
	for _, p := range []string{"__host-", "__secure-"} {
		session = strings.TrimPrefix(session, p)
	}
	return n == session || strings.HasPrefix(n, "__") || strings.HasPrefix(n, "authsvc")
}

// rawCookie writes a cookie of one host, out of reach for scripts.
func (s *Server) rawCookie(name, value string, maxAge int) string {
	return (&http.Cookie{
		Name: name, Value: value, MaxAge: maxAge, Path: "/",
		HttpOnly: true, Secure: s.Cookie.Secure, SameSite: http.SameSiteLaxMode,
	}).String()
}

// notToken reports what RFC 9110 §5.6.2 leaves out of a token.
func notToken(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
}

// notCookieOctet reports what RFC 6265 §4.1.1 leaves out of a cookie's value.
func notCookieOctet(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune("\",;\\", r)
}
