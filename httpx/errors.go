package httpx

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"authsvc/httpx/page"
	"authsvc/token"
)

// What can go wrong in HTTP itself. Those of other packages are in the table
// below too.
var (
	ErrNoSession   = errors.New("no session cookie and no bearer token")
	ErrGroup       = errors.New("not in a group that the rule asks for")
	ErrPeer        = errors.New("check from a peer that is not in AUTHSVC_TRUSTED_PROXIES")
	ErrRule        = errors.New("the check's rule is not understood")
	ErrCrossSite   = errors.New("not from here")
	ErrNotFound    = errors.New("no such path")
	ErrMethod      = errors.New("the path has no such method")
	ErrRequest     = errors.New("request is not understood")
	ErrBodySize    = errors.New("request body is too large")
	ErrMediaType   = errors.New("body is neither a form nor JSON")
	ErrSessionSize = errors.New("session does not fit in a cookie")
	ErrNotReady    = errors.New("not ready")

	errPanic = errors.New("handler panicked")
)

// outcome is what an error becomes: a status, a label for metrics and logs, and
// one sentence for the person who gets it.
type outcome struct {
	status int
	reason string
	public string // "" is the error's own text
	retry  int    // seconds, for Retry-After
}

// outcomes maps every sentinel; the first that matches counts. A test fails
// for a sentinel that has no row.
var outcomes = []struct {
	err error
	outcome
}{
	{ErrNoSession, outcome{status: 401, reason: "no_session", public: "You are not signed in."}},
	{token.ErrExpired, outcome{status: 401, reason: "expired", public: "Your session has ended."}},
	{token.ErrRevoked, outcome{status: 401, reason: "revoked", public: "Your session was ended."}},
	{token.ErrNotYetValid, outcome{status: 401, reason: "not_yet_valid", public: "Your session begins in the future: a clock is wrong."}},
	{ErrSessionSize, outcome{status: 500, reason: "session_too_large", public: "Your session does not fit in a cookie: your account has too many or too long groups. Ask who runs this service to narrow them."}},
	{token.ErrTooLarge, outcome{status: 401, reason: "too_large", public: "Your session is not valid."}},
	{token.ErrMalformed, outcome{status: 401, reason: "malformed", public: "Your session is not valid."}},
	{token.ErrUnknownKey, outcome{status: 401, reason: "unknown_key", public: "Your session is not valid any more."}},
	{token.ErrAlgorithm, outcome{status: 401, reason: "algorithm", public: "Your session is not valid."}},
	{token.ErrSignature, outcome{status: 401, reason: "bad_signature", public: "Your session is not valid."}},
	{token.ErrPurpose, outcome{status: 401, reason: "wrong_purpose", public: "Your session is not valid."}},
	{token.ErrClaims, outcome{status: 401, reason: "missing_claim", public: "Your session is not valid."}},

	{ErrGroup, outcome{status: 403, reason: "group", public: "You are signed in, but not in a group that may see this."}},
	{ErrPeer, outcome{status: 403, reason: "peer", public: "This proxy is not trusted: its address is not in AUTHSVC_TRUSTED_PROXIES."}},
	{ErrForwarded, outcome{status: 403, reason: "forwarded"}},
	{ErrRule, outcome{status: 403, reason: "rule"}},

	{token.ErrCredentials, outcome{status: 401, reason: "wrong_credentials", public: "The name or the password is wrong."}},
	{token.ErrPasswordTooLong, outcome{status: 400, reason: "password_too_long", public: "The password is longer than 72 bytes, which is as much as can be checked."}},
	{token.ErrIdentity, outcome{status: 400, reason: "bad_identity"}},
	{token.ErrBusy, outcome{status: 503, reason: "busy", public: "Too many people are signing in just now. Try again in a moment.", retry: 2}},
	{context.DeadlineExceeded, outcome{status: 503, reason: "busy", public: "Too many people are signing in just now. Try again in a moment.", retry: 10}},
	// nginx's status for a client that went away, while it waited for its turn
	// to be hashed for instance. Nobody reads the answer; it is not our failure.
	{context.Canceled, outcome{status: 499, reason: "canceled", public: "The request was canceled."}},
	{ErrCrossSite, outcome{status: 403, reason: "cross_site"}},

	{ErrNotFound, outcome{status: 404, reason: "not_found", public: "There is nothing here."}},
	{ErrMethod, outcome{status: 405, reason: "method", public: "This path does not answer that method."}},
	{ErrRequest, outcome{status: 400, reason: "bad_request"}},
	{ErrBodySize, outcome{status: 413, reason: "body_too_large", public: "The request is too large."}},
	{ErrMediaType, outcome{status: 415, reason: "media_type", public: "Send a form (application/x-www-form-urlencoded) or JSON (application/json)."}},
	{ErrNotReady, outcome{status: 503, reason: "not_ready", public: "Not ready."}},
	{token.ErrNoKey, outcome{status: 500, reason: "internal", public: "The service has no key that signs now: its clock or its secrets file is wrong."}},
	{errPanic, outcome{status: 500, reason: "internal", public: "Something went wrong here. It was logged."}},
}

func outcomeOf(err error) outcome {
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			if o.public == "" {
				o.public = err.Error()
			}
			return o.outcome
		}
	}
	return outcomeOf(errPanic)
}

// writeError is how an error is answered where the route has no other way.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	s.write(w, outcomeOf(err), wants(r), "")
}

// write is the one place that turns an outcome into an answer: a page for
// browsers, JSON where it is asked for, else a line of text. base is our own
// origin where the answer is seen on another host, else empty.
func (s *Server) write(w http.ResponseWriter, o outcome, as form, base string) {
	o.headers(w.Header())
	switch as {
	case html:
		view := page.Error{Title: http.StatusText(o.status), Sentence: o.public, SignIn: o.status == http.StatusUnauthorized}
		s.renderView(w, o.status, "error", page.View{Base: base, Data: view}, "'self'")
	case jsonText:
		writeJSON(w, o.status, map[string]string{"error": o.public, "reason": o.reason})
	default:
		writeText(w, o.status, o.public)
	}
}

// headers sets what a status asks for beside its body.
func (o outcome) headers(h http.Header) {
	if o.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(o.retry))
	}
	if o.status == http.StatusUnauthorized {
		// RFC 9110 §15.5.2 wants a challenge. This one opens no dialog in
		// browsers, and a bearer token is what it says works.
		h.Set("WWW-Authenticate", `Bearer realm="authsvc"`)
	}
}

func writeText(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, line+"\n")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(v)
}
