package httpx

import (
	"net/http"
	"net/url"

	"authsvc/httpx/page"
)

// home greets: the tutorial's words for curl, who you are for a browser.
func (s *Server) home(w *exchange, r *http.Request) error {
	if wants(r) != html {
		writeText(w, http.StatusOK, "hello world")
		return nil
	}
	user := ""
	if c, _, err := s.session(r, w.began); err == nil {
		user = c.Subject
	}
	s.render(w, http.StatusOK, "home", page.Home{User: user})
	return nil
}

// show tells who the session is about, and renews it.
func (s *Server) show(w *exchange, r *http.Request) error {
	c, fromCookie, err := s.session(r, w.began)
	if err != nil {
		return err
	}
	if fromCookie {
		c = s.renew(w, c)
	}
	switch wants(r) {
	case html:
		s.render(w, http.StatusOK, "show", page.Show{
			User: c.Subject, Name: c.Name, Email: c.Email, Groups: c.Groups,
			Since: c.AuthTime.Time().UTC(), Until: c.Expires.Time().UTC(), Permanent: c.Permanent,
		})
	case jsonText:
		writeJSON(w, http.StatusOK, c)
	default:
		writeText(w, http.StatusOK, c.Subject)
	}
	return nil
}

// showFailed sends a browser without a session to sign in and back.
func (s *Server) showFailed(w http.ResponseWriter, r *http.Request, err error) {
	if outcomeOf(err).status == http.StatusUnauthorized && wants(r) == html {
		w.Header().Set("Location", "/login?rd=/show")
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	s.writeError(w, r, err)
}

// logout takes the cookie away. Without revocation that is all it can do: a
// copy of the token stays good until its exp.
func (s *Server) logout(w *exchange, r *http.Request) error {
	c, fromCookie, err := s.session(r, w.began)
	if err == nil && fromCookie {
		s.Metrics.SignedOut()
		s.Log.Info("signed out", "user", c.Subject, "via", c.Via, "peer", r.RemoteAddr)
	}
	w.Header().Add("Set-Cookie", s.Cookie.deletion())
	w.Header().Set("Location", "/login")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// origin is where browsers reach this service.
func (s *Server) origin() string { return s.BaseURL.Scheme + "://" + s.BaseURL.Host }

// signInURL is where a browser goes to sign in and come back to rd.
func (s *Server) signInURL(rd *url.URL) string {
	to := s.origin() + "/login"
	if rd != nil {
		to += "?rd=" + url.QueryEscape(rd.String())
	}
	return to
}
