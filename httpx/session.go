package httpx

import (
	"net/http"
	"strings"
	"time"

	"authsvc/token"
)

// session returns the session of a request and whether it came in our cookie.
// A bearer token is tried first, because it was put there on purpose; one that
// is not ours may be the protected app's own and does not end the search. The
// error is that of the first that was tried, or ErrNoSession.
func (s *Server) session(r *http.Request, at time.Time) (c *token.Claims, fromCookie bool, err error) {
	if raw, ok := bearer(r.Header); ok {
		if c, err = s.Sessions.Verify(raw, at); err == nil {
			return c, false, nil
		}
	}
	values, found := s.Cookie.candidates(r.Header)
	if found > 1 {
		s.Metrics.DuplicateCookies()
	}
	for _, raw := range values[:min(found, maxCandidates)] {
		c, e := s.Sessions.Verify(raw, at)
		if e == nil {
			return c, true, nil
		}
		if err == nil {
			err = e
		}
	}
	if err == nil {
		err = ErrNoSession
	}
	return nil, false, err
}

// bearer returns the token of an Authorization header (RFC 6750 §2.1).
func bearer(h http.Header) (string, bool) {
	values := h["Authorization"]
	if len(values) == 0 {
		return "", false
	}
	scheme, raw, ok := strings.Cut(values[0], " ")
	return strings.TrimLeft(raw, " "), ok && strings.EqualFold(scheme, "Bearer")
}

// renew moves the idle limit of a session that is due, by one Set-Cookie. A
// user whom the accounts no longer know is left with what remains, and so is a
// session of another sign-in method than is in use, and one that would not fit.
func (s *Server) renew(w *exchange, c *token.Claims) *token.Claims {
	if c.Via != s.Method || !s.Sessions.Due(c, w.began) {
		return c
	}
	id, err := s.Accounts.Lookup(c.Subject)
	if err != nil || id.User != c.Subject {
		return c
	}
	raw, next, err := s.Sessions.Renew(c, id, w.began)
	line := ""
	if err == nil {
		line, err = s.Cookie.session(raw, next)
	}
	if err != nil {
		// At debug level, because each further check comes here again.
		s.Log.Debug("session not renewed", "user", c.Subject, "error", err)
		return c
	}
	w.Header().Add("Set-Cookie", line)
	s.Metrics.Renewed()
	return next
}
