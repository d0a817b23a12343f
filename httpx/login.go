package httpx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"authsvc/httpx/page"
	"authsvc/token"
)

// maxBody bounds a sign-in in bytes: a name, a password of at most 72 bytes
// and a return URL.
const maxBody = 16 << 10

// maxWait is how long a sign-in waits for its turn to be hashed: less than the
// server's time for an answer, so that there is one.
const maxWait = 15 * time.Second

// signIn is what a sign-in form or its JSON says.
type signIn struct {
	User      string `json:"user_name"`
	Password  string `json:"password"`
	Return    string `json:"rd"`
	Permanent bool   `json:"permanent"` // keep me signed in
}

// loginForm shows the form; rd survives only if it would be followed.
func (s *Server) loginForm(w *exchange, r *http.Request) error {
	s.renderLogin(w, http.StatusOK, signIn{Return: r.URL.Query().Get("rd")}, "")
	return nil
}

func (s *Server) renderLogin(w http.ResponseWriter, status int, in signIn, complaint string) {
	view := page.Login{User: in.User, Permanent: in.Permanent, AskPassword: s.AskPassword, Complaint: complaint}
	action := "'self'"
	if to, ok := s.Returns.Safe(in.Return); ok {
		view.Return = to
		if u, err := url.Parse(to); err == nil && u.Host != "" && u.Host != s.BaseURL.Host {
			view.ReturnHost = u.Host
			// Browsers hold every redirect that follows the post against
			// form-action, those of the app included: naming only its host
			// would strand a user whose app redirects once more.
			action = "'self' http: https:"
		}
	}
	s.renderView(w, status, "login", page.View{Data: view}, action)
}

// login answers /login and the tutorial's /do_login.
func (s *Server) login(w *exchange, r *http.Request) error {
	in, err := readSignIn(w, r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxWait)
	defer cancel()
	id, err := s.Accounts.Check(ctx, in.User, in.Password)
	if err != nil {
		known, _ := s.Accounts.Lookup(in.User)
		return &signInError{in, known.User, err}
	}
	raw, claims, err := s.Sessions.Mint(id, token.Grant{Via: s.Method, Permanent: in.Permanent}, time.Now()) // not w.began: hashing and waiting for it took long
	if errors.Is(err, token.ErrTooLarge) {
		err = ErrSessionSize // of what we sign, not of what we were sent
	}
	if err != nil {
		return &signInError{in, id.User, err}
	}
	cookie, err := s.Cookie.session(raw, claims)
	if err != nil {
		return &signInError{in, id.User, err}
	}
	s.Metrics.Issued(s.Method)
	s.Log.Info("signed in", "user", id.User, "via", s.Method, "peer", r.RemoteAddr, "permanent", in.Permanent)

	w.Header().Add("Set-Cookie", cookie)
	if in.Return == "" && wants(r) != html {
		writeText(w, http.StatusOK, "success")
		return nil
	}
	to, ok := s.Returns.Safe(in.Return)
	if !ok {
		to = "/"
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// signInError is an attempt that was understood and failed, with what the form
// is shown again with. Its text never has the password.
type signInError struct {
	in   signIn
	user string // for the log. Empty if nobody is called so: it may be a password in the wrong field.
	err  error
}

func (e *signInError) Error() string { return "sign in: " + e.err.Error() }
func (e *signInError) Unwrap() error { return e.err }

// loginFailed logs the attempt and shows a browser the form again.
func (s *Server) loginFailed(w http.ResponseWriter, r *http.Request, err error) {
	o := outcomeOf(err)
	line := []any{"reason", o.reason, "via", s.Method, "peer", r.RemoteAddr}
	attempt := &signInError{}
	if errors.As(err, &attempt) {
		o = outcomeOf(attempt.err) // its sentence is without our prefix
		if s.AskPassword && attempt.user != "" {
			line = append(line, "user", attempt.user)
		}
	}
	s.Log.Info("sign-in refused", line...)
	if attempt.err != nil && o.status != http.StatusInternalServerError && wants(r) == html {
		o.headers(w.Header())
		s.renderLogin(w, o.status, attempt.in, o.public)
		return
	}
	s.write(w, o, wants(r), "")
}

// countSignIn counts an attempt to sign in by how it ended.
func (s *Server) countSignIn(err error, took time.Duration) {
	result := "ok"
	if err != nil {
		result = outcomeOf(err).reason
	}
	s.Metrics.SignIn(s.Method, result, took)
}

// readSignIn reads a form or JSON body. Fields of the query string are not
// read: a password in a URL ends up in every log on its way.
func readSignIn(w http.ResponseWriter, r *http.Request) (signIn, error) {
	var in signIn
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return in, ErrMediaType
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return in, ErrBodySize
	}
	if err == nil {
		switch media {
		case "application/json":
			err = json.Unmarshal(body, &in)
		case "application/x-www-form-urlencoded":
			var form url.Values
			form, err = url.ParseQuery(string(body))
			in = signIn{
				User: form.Get("user_name"), Password: form.Get("password"),
				Return: form.Get("rd"), Permanent: truthy(form.Get("permanent")),
			}
		default:
			return in, ErrMediaType
		}
	}
	if err != nil {
		// The decoder's words may quote the body, and the body is a password.
		return signIn{}, fmt.Errorf("%w: the body is not a complete form or JSON object", ErrRequest)
	}
	return in, nil
}

// truthy is what check boxes and people write for yes.
func truthy(v string) bool {
	switch strings.ToLower(v) {
	case "on", "true", "1", "yes":
		return true
	}
	return false
}
