package httpx

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/token"
)

// post sends a sign-in form as curl would.
func post(s *Server, form string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/login", strings.NewReader(form))
	r.RemoteAddr, r.Host, r.Header = "127.0.0.1:54321", "auth.example.com", headers(append(header, "Content-Type: application/x-www-form-urlencoded")...)
	w := httptest.NewRecorder()
	s.Public().ServeHTTP(w, r)
	return w
}

// mustSignIn signs letian in and returns the cookie's value.
func mustSignIn(t testing.TB, s *Server) string {
	t.Helper()
	w := post(s, "user_name=letian&password="+url.QueryEscape(rightPassword))
	if w.Code != http.StatusOK || len(w.Result().Cookies()) != 1 {
		t.Fatalf("sign in: %d %s", w.Code, w.Body)
	}
	return w.Result().Cookies()[0].Value
}

// Every way to fail leaves the browser without a cookie and with an answer
// that is the same for a name that exists and one that does not.
func TestFailedSignInSaysNothingAboutTheUser(t *testing.T) {
	s, _ := newServer(t)
	for _, accept := range []string{"*/*", "text/html", "application/json"} {
		for _, password := range []string{"", wrongPassword, strings.Repeat("p", 80)} {
			var answers []string
			for _, user := range []string{"letian", "nobody"} {
				w := post(s, url.Values{"user_name": {user}, "password": {password}}.Encode(), "Accept: "+accept)
				if len(w.Header()["Set-Cookie"]) > 0 || w.Code < 400 {
					t.Fatalf("%s with %.20q is signed in: %d", user, password, w.Code)
				}
				answers = append(answers, w.Result().Status+strings.ReplaceAll(w.Body.String(), user, "USER"))
			}
			if answers[0] != answers[1] {
				t.Errorf("known: %s\nunknown: %s", answers[0], answers[1])
			}
		}
	}
}

// A name is logged with a refused sign-in only if somebody has it: else it may
// be a password that was typed into the wrong field.
func TestRefusedSignInLogsOnlyKnownNames(t *testing.T) {
	s, log := newServer(t)
	post(s, "user_name=hunter2hunter2&password=x")
	if strings.Contains(log.String(), "hunter2hunter2") || !strings.Contains(log.String(), "wrong_credentials") {
		t.Errorf("log of an unknown name:\n%s", log)
	}
	log.Reset()
	post(s, "user_name=letian&password=x")
	if !strings.Contains(log.String(), "user=letian") {
		t.Errorf("log of a known name:\n%s", log)
	}
}

// What is counted is what happened.
func TestSignInsAreCounted(t *testing.T) {
	s, _ := newServer(t)
	post(s, "user_name=letian&password="+url.QueryEscape(rightPassword))
	for range 2 {
		post(s, "user_name=letian&password=x")
	}
	post(s, "user_name=busy&password=x")
	post(s, "user_name=letian&password=x", "Sec-Fetch-Site: cross-site")
	post(s, "user_name=panics&password=x")
	ask(s.Public(), "POST /login")
	ask(s.Public(), "POST /logout", "Cookie: __Host-session=x")
	ask(s.Public(), "POST /logout", "Cookie: __Host-session="+mustSignIn(t, s))
	ask(s.Public(), "POST /logout", "Authorization: Bearer "+mustSignIn(t, s)) // no cookie goes
	text := ask(s.Admin(), "GET /metrics").Body.String()
	for _, line := range []string{
		`authsvc_sign_ins_total{method="htpasswd",result="ok"} 3`,
		`authsvc_sign_ins_total{method="htpasswd",result="wrong_credentials"} 2`,
		`authsvc_sign_ins_total{method="htpasswd",result="busy"} 1`,
		`authsvc_sign_ins_total{method="htpasswd",result="cross_site"} 1`,
		`authsvc_sign_ins_total{method="htpasswd",result="internal"} 1`,
		`authsvc_sign_ins_total{method="htpasswd",result="media_type"} 1`,
		`authsvc_sessions_issued_total{method="htpasswd"} 3`,
		`authsvc_sessions_ended_total{cause="sign_out"} 1`,
		`authsvc_http_requests_total{code="2xx",route="login"} 3`,
		`authsvc_http_requests_total{code="4xx",route="login"} 4`,
		`authsvc_http_requests_total{code="5xx",route="login"} 2`,
		`authsvc_http_requests_total{code="3xx",route="logout"} 3`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
}

// A tick is a tick, and nothing else is one.
func TestPermanent(t *testing.T) {
	s, _ := newServer(t)
	for value, want := range map[string]bool{"on": true, "ON": true, "true": true, "1": true, "yes": true, "": false, "off": false, "0": false, "no": false} {
		w := post(s, url.Values{"user_name": {"letian"}, "password": {rightPassword}, "permanent": {value}}.Encode())
		if got := strings.Contains(w.Header().Get("Set-Cookie"), "; Max-Age=3600;"); got != want {
			t.Errorf("permanent=%q: %s", value, w.Header()["Set-Cookie"])
		}
	}
}

// absent is an Accounts of somebody who goes away, and fails on the way.
type absent struct{ people }

func (absent) Check(context.Context, string, string) (token.Identity, error) {
	return token.Identity{}, fmt.Errorf("waiting: %w", context.Canceled)
}

// A client that went away is not a failure of ours, in metrics or in the log.
func TestSignInOfAClientThatWentAway(t *testing.T) {
	s, log := newServer(t, func(c *Config) { c.Accounts = absent{everybody()} })
	if w := post(s, goodForm); w.Code != 499 || strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "reason=canceled") {
		t.Errorf("%d\n%s", w.Code, log)
	}
	if w := post(s, "user_name=panics"); w.Code != 500 {
		t.Errorf("a panic while a refusal is prepared: %d", w.Code)
	}
}

// queued is an Accounts where a password waits for its turn.
type queued struct{ people }

func (q queued) Check(ctx context.Context, user, password string) (token.Identity, error) {
	time.Sleep(14 * time.Second)
	return q.people.Check(ctx, user, password)
}

// A session begins when it is signed, not when its request came.
func TestSessionBeginsAfterTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrowser(t, goodForm, func(c *Config) { c.Accounts = queued{everybody()} })
		if c := b.claims(); c.Issued.Time().Before(time.Now().Add(-time.Second)) || c.AuthTime != c.Issued {
			t.Errorf("issued %v, authenticated %v, now %v", c.Issued.Time(), c.AuthTime.Time(), time.Now())
		}
	})
}
