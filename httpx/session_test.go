package httpx

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/token"
)

// browser keeps the session cookie as a browser does.
type browser struct {
	t      *testing.T
	s      *Server
	cookie *http.Cookie
	until  time.Time // zero: as long as the browser runs
	log    *bytes.Buffer
}

func newBrowser(t *testing.T, form string, change ...func(*Config)) *browser {
	t.Helper()
	s, log := newServer(t, change...)
	b := &browser{t: t, s: s, log: log}
	w := post(s, form)
	if w.Code != http.StatusOK {
		t.Fatalf("sign in: %d %s", w.Code, w.Body)
	}
	b.keep(w.Header())
	return b
}

// keep takes over a Set-Cookie, and fails if a renewal changes what the cookie is.
func (b *browser) keep(h http.Header) (renewed bool) {
	b.t.Helper()
	if len(h["Set-Cookie"]) == 0 {
		return false
	}
	c, err := http.ParseSetCookie(h.Get("Set-Cookie"))
	if err != nil || len(h["Set-Cookie"]) > 1 {
		b.t.Fatal(h["Set-Cookie"], err)
	}
	if b.cookie != nil {
		was, is := *b.cookie, *c
		was.Value, was.MaxAge, was.Raw, is.Value, is.MaxAge, is.Raw = "", 0, "", "", 0, ""
		if was.String() != is.String() || (b.cookie.MaxAge == 0) != (c.MaxAge == 0) {
			b.t.Errorf("%s\nis renewed by\n%s", b.cookie, c)
		}
	}
	b.cookie = c
	b.until = time.Time{}
	if c.MaxAge > 0 {
		b.until = time.Now().Add(time.Duration(c.MaxAge) * time.Second)
	}
	return true
}

// get asks for a path with the cookie if it is still kept.
func (b *browser) get(path string) (status int, user string, renewed bool) {
	b.t.Helper()
	var header []string
	if b.until.IsZero() || time.Now().Before(b.until) {
		header = append(header, "Cookie: "+b.cookie.Name+"="+b.cookie.Value)
	}
	w := ask(b.s.Public(), "GET "+path, header...)
	return w.Code, w.Header().Get("Remote-User"), b.keep(w.Header())
}

func (b *browser) claims() *token.Claims {
	b.t.Helper()
	c, err := b.s.Sessions.Verify(b.cookie.Value, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

const goodForm = "user_name=letian&password=correct+horse"

// A session that is used lives until its absolute limit, to the second, and
// not longer; its id stays, and it is not renewed more often than it needs.
func TestUsedSessionLivesUntilTheAbsoluteLimit(t *testing.T) {
	for _, form := range []string{goodForm, goodForm + "&permanent=on"} {
		for _, path := range []string{"/verify", "/show"} {
			synctest.Test(t, func(t *testing.T) {
				b := newBrowser(t, form)
				began, first := time.Now(), b.claims()
				renewals := 0
				for time.Since(began) < 24*time.Hour-time.Second {
					time.Sleep(min(7*time.Minute, 24*time.Hour-time.Second-time.Since(began)))
					status, _, renewed := b.get(path)
					if status != http.StatusOK {
						t.Fatalf("%s: %d after %v", path, status, time.Since(began))
					}
					if renewed {
						renewals++
						c := b.claims()
						if c.SessionID != first.SessionID || c.AuthTime != first.AuthTime || c.Via != first.Via || c.Permanent != first.Permanent {
							t.Fatalf("renewed as %+v, was %+v", c, first)
						}
						if c.Permanent && time.Duration(b.cookie.MaxAge)*time.Second != time.Until(c.Expires.Time()) {
							t.Errorf("Max-Age %d, exp in %v", b.cookie.MaxAge, time.Until(c.Expires.Time()))
						}
					}
				}
				if renewals < 30 || renewals > 60 {
					t.Errorf("%d renewals", renewals)
				}
				if text := ask(b.s.Admin(), "GET /metrics").Body.String(); !strings.Contains(text, fmt.Sprintf("authsvc_sessions_renewed_total %d\n", renewals)) {
					t.Errorf("%d renewals are not counted", renewals)
				}
				time.Sleep(time.Second)
				if status, _, _ := b.get(path); status != http.StatusUnauthorized {
					t.Errorf("%s: %d at the absolute limit", path, status)
				}
			})
		}
	}
}

func TestUnusedSessionEndsAtTheIdleLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrowser(t, goodForm)
		time.Sleep(29 * time.Minute)
		if status, _, renewed := b.get("/verify"); status != 200 || renewed {
			t.Errorf("before half of the idle limit: %d, renewed: %v", status, renewed)
		}
		time.Sleep(31*time.Minute - time.Second)
		if c := b.claims(); time.Until(c.Expires.Time()) != time.Second {
			t.Errorf("ends in %v", time.Until(c.Expires.Time()))
		}
		time.Sleep(time.Second)
		if status, _, renewed := b.get("/verify"); status != 401 || renewed {
			t.Errorf("at the idle limit: %d, renewed: %v", status, renewed)
		}
	})
}

// Whom the accounts no longer know keeps what remains and gets no more.
func TestRemovedUserIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accounts := everybody()
		b := newBrowser(t, goodForm, func(c *Config) { c.Accounts = accounts })
		delete(accounts, "letian")
		for range 11 {
			time.Sleep(5 * time.Minute)
			if status, user, renewed := b.get("/verify"); status != 200 || user != "letian" || renewed {
				t.Fatalf("%d %q, renewed: %v", status, user, renewed)
			}
		}
		time.Sleep(5 * time.Minute)
		if status, _, _ := b.get("/verify"); status != 401 {
			t.Errorf("%d after the idle limit", status)
		}
	})
}

// What is now known of a user is in the next token, and in the answer that
// brings it.
func TestRenewalRefreshesTheIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accounts := everybody()
		b := newBrowser(t, goodForm, func(c *Config) { c.Accounts = accounts })
		accounts["letian"] = token.Identity{User: "letian", Name: "L. T.", Groups: []string{"ops"}}
		time.Sleep(50 * time.Minute)
		w := ask(b.s.Public(), "GET /verify", "Cookie: "+b.cookie.Name+"="+b.cookie.Value)
		if got := w.Header()["Remote-Groups"]; !slices.Equal(got, []string{"ops"}) || w.Header().Get("Remote-Name") != "L. T." {
			t.Errorf("the answer says %v", w.Header())
		}
		b.keep(w.Header())
		if c := b.claims(); !slices.Equal(c.Groups, []string{"ops"}) || c.Email != "" {
			t.Errorf("the token says %+v", c)
		}
		if status, _, _ := b.get("/verify?group=dev"); status != 403 {
			t.Errorf("%d with a group that was taken away", status)
		}
	})
}

// A rule asks for the groups of now: who was given one need not sign in again,
// and who lost one is not let in once more.
func TestRenewalComesBeforeTheRule(t *testing.T) {
	for groups, want := range map[string]int{"ops": 200, "dev": 403} {
		synctest.Test(t, func(t *testing.T) {
			accounts := everybody()
			b := newBrowser(t, goodForm, func(c *Config) { c.Accounts = accounts })
			accounts["letian"] = token.Identity{User: "letian", Groups: []string{"ops"}}
			time.Sleep(50 * time.Minute)
			if status, _, renewed := b.get("/verify?group=" + groups); status != want || !renewed {
				t.Errorf("%s: %d, want %d; renewed: %v", groups, status, want, renewed)
			}
		})
	}
}

// What is not our cookie of our sign-in method is believed and not renewed.
func TestNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newServer(t)
		mint := func(via string) string {
			raw, _, err := s.Sessions.Mint(everybody()["letian"], token.Grant{Via: via}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		own, other, machine := mint(s.Method), mint("name"), mint(token.ViaToken)
		time.Sleep(50 * time.Minute)
		for header, want := range map[string]bool{
			"Cookie: __Host-session=" + own:     true,
			"Cookie: __Host-session=" + other:   false,
			"Cookie: __Host-session=" + machine: false,
			"Authorization: Bearer " + own:      false,
			"Authorization: Bearer " + machine:  false,
		} {
			for _, path := range []string{"/verify", "/show"} {
				w := ask(s.Public(), "GET "+path, header)
				if got := len(w.Header()["Set-Cookie"]) > 0; w.Code != 200 || got != want {
					t.Errorf("%s with %.40s…: %d, renewed: %v", path, header, w.Code, got)
				}
			}
		}
	})
}

// Even if the sign-in method were called as machine tokens are.
func TestMachineTokenIsNeverRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newServer(t, func(c *Config) { c.Method = token.ViaToken })
		raw := mustSignIn(t, s)
		time.Sleep(50 * time.Minute)
		if w := ask(s.Public(), "GET /verify", "Cookie: __Host-session="+raw); w.Code != 200 || len(w.Header()["Set-Cookie"]) > 0 {
			t.Errorf("%d %v", w.Code, w.Header()["Set-Cookie"])
		}
	})
}

// A user who has got too many groups since keeps the session there is: the
// check is allowed, nothing half-made is sent, and the log says why.
func TestRenewalThatDoesNotFit(t *testing.T) {
	groups := func(n, last int) []string {
		return append(slices.Repeat([]string{strings.Repeat("g", 200)}, n), strings.Repeat("g", last))
	}
	for reason, groups := range map[string][]string{
		"at most 4096 fit":                 groups(40, 1),
		"session does not fit in a cookie": groups(12, 250),
		"unusable identity":                {"a,b"},
	} {
		synctest.Test(t, func(t *testing.T) {
			accounts := everybody()
			b := newBrowser(t, goodForm, func(c *Config) { c.Accounts = accounts })
			accounts["letian"] = token.Identity{User: "letian", Groups: groups}
			time.Sleep(50 * time.Minute)
			status, user, renewed := b.get("/verify")
			if status != 200 || user != "letian" || renewed {
				t.Errorf("%s: %d %q, renewed: %v", reason, status, user, renewed)
			}
			if !strings.Contains(b.log.String(), "session not renewed") || !strings.Contains(b.log.String(), reason) {
				t.Errorf("%s: log: %s", reason, b.log)
			}
		})
	}
}

// A cookie of a session that was begun elsewhere is as good as one of ours:
// two servers have nothing in common but the secret.
func TestReplicas(t *testing.T) {
	a, _ := newServer(t)
	b, _ := newServer(t)
	if w := ask(b.Public(), "GET /show", "Cookie: __Host-session="+mustSignIn(t, a)); w.Code != 200 || w.Body.String() != "letian\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	c, _ := newServer(t, func(c *Config) { c.Sessions = newSessions(t, strings.Repeat("another ", 8)) })
	if w := ask(c.Public(), "GET /show", "Cookie: __Host-session="+mustSignIn(t, a)); w.Code != 401 {
		t.Errorf("with another secret: %d %s", w.Code, w.Body)
	}
}

// The jwks may be kept, but for less than a key is published before it signs.
func TestJWKSMaxAge(t *testing.T) {
	for rotation, want := range map[time.Duration]int{24 * time.Hour: 300, 5 * time.Minute: 150, 2 * time.Second: 1, time.Second: 0} {
		secret, _ := token.NewSecret(testSecret, time.Time{})
		sessions, err := token.New(token.Config{Algorithm: token.HS256, Secrets: []token.Secret{secret}, Rotation: rotation, TTL: time.Second, Max: time.Second}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		s, _ := newServer(t, func(c *Config) { c.Sessions = sessions })
		w := ask(s.Public(), "GET /.well-known/jwks.json")
		if got := w.Header().Get("Cache-Control"); got != "public, max-age="+strconv.Itoa(want) {
			t.Errorf("%v: %s", rotation, got)
		}
		if w.Body.String() != `{"keys":[]}` {
			t.Errorf("the keys of HS256 are secret: %s", w.Body)
		}
	}
}
