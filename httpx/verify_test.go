package httpx

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"authsvc/token"
)

// TestCheckPolicy asks every combination of peer, rule, forwarded headers,
// credentials, method and client, and holds the answers against what each of
// them alone decides: a check is allowed if all of them allow it.
func TestCheckPolicy(t *testing.T) {
	s, _ := newServer(t)
	mint := func(user string, g token.Grant) string {
		raw, _, err := s.Sessions.Mint(everybody()[user], g, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	letian, ann := mint("letian", token.Grant{Via: s.Method}), mint("ann", token.Grant{Via: s.Method})

	type choice struct {
		give string // what is sent
		ok   bool
	}
	type credential struct {
		header []string
		user   string // empty: nobody
	}
	peers := []choice{{"127.0.0.1:1", true}, {"127.9.9.9:65535", true}, {"[::ffff:127.0.0.1]:1", true}, {"128.0.0.1:1", false}, {"[::1]:1", false}, {"nonsense", false}, {"127.0.0.1", false}}
	rules := []struct {
		query  string
		letian bool
		ann    bool
	}{
		{"", true, true}, {"?", true, true}, {"?group=dev", true, false}, {"?group=ops&group=admin", true, false}, {"?group=d%65v", true, false},
		{"?group=ops", false, false}, {"?group=", false, false}, {"?group", false, false}, {"?group=dev&group=", false, false}, {"?groups=dev", false, false},
		{"?Group=dev", false, false}, {"?group=dev&x=1", false, false}, {"?group=dev;group=admin", false, false}, {"?group=%zz", false, false},
		{"?group=admin,dev", false, false}, {"?group=*", false, false}, {"?=dev", false, false},
	}
	credentials := []credential{
		{nil, ""},
		{[]string{"Cookie: __Host-session=" + letian}, "letian"},
		{[]string{"Cookie: x=y; __Host-session=" + ann + "; z="}, "ann"},
		{[]string{"Authorization: Bearer " + ann}, "ann"},
		{[]string{"Authorization: BEARER   " + ann}, "ann"},
		{[]string{"Authorization: Bearer " + ann, "Cookie: __Host-session=" + letian}, "ann"},
		{[]string{"Authorization: Bearer x", "Cookie: __Host-session=" + letian}, "letian"},
		{[]string{"Authorization: Basic " + letian, "Cookie: __Host-session="}, ""},
		{[]string{"Authorization: " + letian}, ""},
		{[]string{"Authorization: Bearer"}, ""},
		{[]string{"Authorization: Bearer " + letian + " x"}, ""},
		{[]string{"Authorization: Bearer " + letian + "."}, ""},
		{[]string{"Cookie: session=" + letian}, ""},
		{[]string{"Cookie: __Host-session=" + letian + "="}, ""},
		{[]string{"Cookie: __Host-session=%22" + letian}, ""},
		{[]string{"Cookie: __Host-session=" + tamper(letian)}, ""},
		{[]string{"Cookie: __Host-session=" + letian[:len(letian)-1]}, ""},
		{[]string{"Remote-User: letian", "Remote-Groups: admin"}, ""},
		{[]string{"Cookie: __Host-session=a; __Host-session=b; __Host-session=" + letian}, "letian"},
	}
	whole := []string{"X-Forwarded-Proto: https", "X-Forwarded-Host: app.example.com", "X-Forwarded-Uri: /a"}
	forwarded := map[string][]struct {
		header []string
		ok     bool
	}{
		"/verify": {
			{nil, true}, {[]string{"X-Original-URL: https://app.example.com/a?b"}, true}, {[]string{"X-Forwarded-For: 1.2.3.4"}, true},
			{[]string{"X-Original-URL: a"}, false}, {[]string{"X-Original-URL: "}, false}, {[]string{"X-Forwarded-Uri: /"}, false},
			{[]string{"X_Original_Url: https://app.example.com/"}, false}, {[]string{"X-Original-Method: get"}, false},
		},
		"/verify/forward": {
			{whole, true}, {append([]string{"X-Forwarded-Method: DELETE"}, whole...), true}, {append([]string{"X-Forwarded-Proto: https"}, whole...), true},
			{nil, false}, {whole[1:], false}, {whole[:2], false}, {append([]string{"X-Forwarded-Proto: http"}, whole...), false},
			{append([]string{"X-Original-URL: https://app.example.com/a"}, whole...), false},
		},
	}
	methods := []string{"GET", "HEAD", "POST", "OPTIONS", "PROPFIND", "TRACE"}
	clients := [][]string{nil, {"Accept: text/html"}, {"Accept: application/json"}, {"Sec-Fetch-Mode: navigate"}, {"Sec-Fetch-Mode: cors", "Accept: text/html"}, {"Sec-Fetch-Site: cross-site", "Origin: null"}}

	public := s.Public()
	n := 0
	for path, families := range forwarded {
		for _, peer := range peers {
			for _, rule := range rules {
				for _, family := range families {
					for _, c := range credentials {
						n++
						method, client := methods[n%len(methods)], clients[n/7%len(clients)]
						r := httptest.NewRequest(method, path+rule.query, nil)
						r.RemoteAddr = peer.give
						r.Header = headers(slices.Concat(c.header, family.header, client)...)
						w := httptest.NewRecorder()
						public.ServeHTTP(w, r)

						inGroup := c.user == "letian" && rule.letian || c.user == "ann" && rule.ann
						// Anyone could be in it: so the rule itself is fine.
						understood := rule.letian || rule.query == "?group=ops" || rule.query == "?group=admin,dev" || rule.query == "?group=*"
						var want []int
						switch {
						case !peer.ok || !understood || !family.ok:
							want = []int{403}
						case c.user == "" && path == "/verify":
							want = []int{401}
						case c.user == "":
							want = []int{401, 302}
						case !inGroup:
							want = []int{403}
						default:
							want = []int{200}
						}
						what := fmt.Sprintf("%s %s%s from %s, %.40q, %q, %q", method, path, rule.query, peer.give, c.header, family.header, client)
						if !slices.Contains(want, w.Code) {
							t.Fatalf("%s: %d, want %d", what, w.Code, want)
						}
						identity := []string{"Remote-User", "Remote-Groups", "Remote-Name", "Remote-Email"}
						for _, name := range identity {
							if _, set := w.Header()[name]; set != (w.Code == 200) {
								t.Fatalf("%s: %d with %s %q", what, w.Code, name, w.Header()[name])
							}
						}
						if w.Code == 200 && w.Header().Get("Remote-User") != c.user {
							t.Fatalf("%s: says it is %q", what, w.Header().Get("Remote-User"))
						}
						if location := w.Header().Get("Location"); location != "" && !strings.HasPrefix(location, "https://auth.example.com/login") {
							t.Fatalf("%s: leads to %q", what, location)
						}
						if w.Code == 401 && path == "/verify" && w.Header().Get("Location") == "" {
							t.Fatalf("%s: no way to sign in", what)
						}
						if w.Header().Get("Cache-Control") != "no-store" || len(w.Header()["Set-Cookie"]) > 0 {
							t.Fatalf("%s: %v", what, w.Header())
						}
					}
				}
			}
		}
	}
	t.Logf("%d checks", n)
}

// The URL that a proxy forwarded comes back as it was, and only to our sign-in.
func TestCheckLeadsBack(t *testing.T) {
	s, _ := newServer(t)
	for _, original := range []string{"https://app.example.com/", "https://app.example.com/a?b=c&d=%2F%26+e", "http://[::1]:8090/x?", "https://evil.example/?rd=https://auth.example.com/"} {
		w := ask(s.Public(), "GET /verify", "X-Original-URL: "+original)
		to, err := url.Parse(w.Header().Get("Location"))
		if err != nil || to.Scheme+"://"+to.Host+to.Path != "https://auth.example.com/login" || to.Query().Get("rd") != original || len(to.Query()) != 1 {
			t.Errorf("%s: Location %q", original, w.Header().Get("Location"))
		}
	}
}

// The status of a check whose accounts fail, in every dialect, is one that the
// proxy passes on; and nothing of the failure is in the answer.
func TestCheckSurvivesAnything(t *testing.T) {
	s, log := newServer(t, func(c *Config) { c.Sessions = nil })
	s.Sessions = nil // every use of it panics
	for _, path := range []string{"/verify", "/verify?group=a", "/verify/forward"} {
		for _, accept := range []string{"*/*", "text/html", "application/json"} {
			w := ask(s.Public(), "GET "+path, "Accept: "+accept, "Cookie: __Host-session=x", "X-Original-URL: https://a.example/")
			if path == "/verify/forward" {
				w = ask(s.Public(), "GET "+path, "Accept: "+accept, "Cookie: __Host-session=x", "X-Forwarded-Proto: https", "X-Forwarded-Host: a.example", "X-Forwarded-Uri: /")
			}
			if w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "nil pointer") || w.Header().Get("Remote-User") != "" {
				t.Errorf("%s as %s: %d %s", path, accept, w.Code, w.Body)
			}
		}
	}
	if !strings.Contains(log.String(), "level=ERROR msg=panic") {
		t.Error("a panic was not logged")
	}
}

// Nothing of one request is in the answer to another (run with -race).
func TestChecksAtOnce(t *testing.T) {
	s, _ := newServer(t)
	public := s.Public()
	var wg sync.WaitGroup
	for i := range 8 {
		user := []string{"letian", "ann", "broken", "busy"}[i%4]
		raw, _, err := s.Sessions.Mint(everybody()[user], token.Grant{Via: s.Method}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for range 50 {
				if w := ask(public, "GET /verify", "Cookie: __Host-session="+raw); w.Code != 200 || w.Header().Get("Remote-User") != user {
					t.Errorf("%s: %d %q", user, w.Code, w.Header().Get("Remote-User"))
				}
				if w := ask(public, "GET /verify", "Cookie: __Host-session="+tamper(raw)); w.Code != 401 {
					t.Errorf("%s, tampered: %d", user, w.Code)
				}
				post(s, "user_name=letian&password=x")
				ask(s.Public(), "GET /.well-known/jwks.json")
				ask(s.Admin(), "GET /metrics")
			}
		})
	}
	wg.Wait()
}

// Each check is counted once, by its dialect and reason.
func TestChecksAreCounted(t *testing.T) {
	s, _ := newServer(t)
	cookie := "Cookie: __Host-session=" + mustSignIn(t, s)
	ask(s.Public(), "GET /verify", cookie)
	ask(s.Public(), "POST /verify", cookie)
	ask(s.Public(), "GET /verify?group=ops", cookie)
	ask(s.Public(), "GET /verify", cookie+"; __Host-session=2")
	ask(s.Public(), "GET /verify")
	ask(s.Public(), "GET /verify/forward", cookie)
	text := ask(s.Admin(), "GET /metrics").Body.String()
	for _, line := range []string{
		`authsvc_checks_total{dialect="plain",reason="ok",result="allowed"} 3`,
		`authsvc_checks_total{dialect="plain",reason="group",result="refused"} 1`,
		`authsvc_checks_total{dialect="plain",reason="no_session",result="sign_in"} 1`,
		`authsvc_checks_total{dialect="forward",reason="forwarded",result="refused"} 1`,
		`authsvc_http_request_duration_seconds_count{route="verify"} 5`,
		`authsvc_duplicate_cookies_total 1`,
		`authsvc_http_requests_total{code="2xx",route="verify"} 3`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
}

// An allowed check is noise, a refused one is news.
func TestCheckLogLevels(t *testing.T) {
	s, log := newServer(t)
	cookie := "Cookie: __Host-session=" + mustSignIn(t, s)
	for target, level := range map[string]string{"/verify": "DEBUG", "/verify?group=ops": "INFO", "/verify?x=y": "INFO", "/verify/forward": "INFO", "/show": "INFO", "/static/icon.svg": "DEBUG"} {
		log.Reset()
		ask(s.Public(), "GET "+target, cookie)
		if !strings.Contains(log.String(), "level="+level+" msg=request") || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("%s: %s", target, log)
		}
	}
}

// A path that only decodes to a check's is another path: a front rule that
// blocks the check by name has not seen it.
func TestEncodedPathIsNotACheck(t *testing.T) {
	s, _ := newServer(t)
	for path, want := range map[string]int{"/verify%2Fforward": 404, "/verify/": 404, "/verify": 401} {
		if w := ask(s.Public(), "GET "+path); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}
