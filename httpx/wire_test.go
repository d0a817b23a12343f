package httpx

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"authsvc/metrics"
	"authsvc/token"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata/wire")

// The password of everybody, and another.
const (
	rightPassword = "correct horse"
	wrongPassword = "wrong battery"
)

// people is an Accounts whose names say what happens.
type people map[string]token.Identity

func everybody() people {
	p := people{
		"letian":  {Name: "Le Tian", Email: "letian@example.com", Groups: []string{"admin", "dev"}},
		"ann":     {},
		"comma":   {Groups: []string{"a,b"}},
		"crowded": {Groups: slices.Repeat([]string{strings.Repeat("g", 100)}, 60)},
		"broken":  {}, "panics": {}, "busy": {},
	}
	for name, id := range p {
		id.User = name
		p[name] = id
	}
	return p
}

func (p people) Check(_ context.Context, user, password string) (token.Identity, error) {
	switch {
	case len(password) > 72:
		return token.Identity{}, token.ErrPasswordTooLong
	case user == "busy":
		return token.Identity{}, token.ErrBusy
	case user == "broken":
		return token.Identity{}, errors.New("the disk is on fire")
	case user == "panics":
		panic("on the way of a sign-in")
	case password != rightPassword:
		return token.Identity{}, token.ErrCredentials
	}
	return p.Lookup(user)
}

func (p people) Lookup(user string) (token.Identity, error) {
	id, ok := p[user]
	switch {
	case !ok:
		return token.Identity{}, token.ErrCredentials
	case user == "panics":
		panic("on the way of a renewal")
	}
	return id, nil
}

// byName is sign-in by name alone.
type byName struct{ people }

func (n byName) Check(_ context.Context, user, _ string) (token.Identity, error) {
	return n.Lookup(user)
}

func newSessions(t testing.TB, secret string) *token.Authority {
	t.Helper()
	s, err := token.NewSecret(secret, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := token.New(token.Config{
		Algorithm: token.EdDSA, Secrets: []token.Secret{s}, Rotation: 24 * time.Hour, TTL: time.Hour, Max: 24 * time.Hour,
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const testSecret = "a secret that is in every test of httpx"

// newServer makes the Server of https://auth.example.com, with what change
// makes of it, and the buffer it logs to.
func newServer(t testing.TB, change ...func(*Config)) (*Server, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	cfg := Config{
		Cookie:         Cookie{Name: "__Host-session", Secure: true, SameSite: http.SameSiteLaxMode},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		CookieRoutes:   true, Method: "htpasswd", AskPassword: true, Accounts: everybody(),
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	base(&cfg, "https://auth.example.com")
	for _, f := range change {
		f(&cfg)
	}
	if cfg.Sessions == nil {
		cfg.Sessions = newSessions(t, testSecret)
	}
	cfg.Returns = mustReturns(t, cfg.BaseURL.String(), "app.example.com")
	cfg.Metrics = metrics.New(metrics.Config{Version: "test", Routes: RouteNames(), Dialects: Dialects(), Methods: []string{cfg.Method}})
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, log
}

func base(c *Config, u string) { c.BaseURL, _ = url.Parse(u) }

// ask asks a handler as a trusted proxy or a client on this machine would:
// ask(h, "GET /show", "Cookie: a=b").
func ask(h http.Handler, line string, header ...string) *httptest.ResponseRecorder {
	method, target, _ := strings.Cut(line, " ")
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr, r.Host, r.Header = "127.0.0.1:54321", "auth.example.com", headers(header...)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// variants are the servers that a pair may ask for with "# on: ".
var variants = map[string]struct {
	change func(*Config)
	peer   string // 127.0.0.1 if empty
	admin  bool
	ready  bool
}{
	"":                  {},
	"an untrusted peer": {peer: "203.0.113.9"},
	"admin":             {admin: true, ready: true},
	"admin, not ready":  {admin: true},
	"no cookie routes":  {change: func(c *Config) { c.CookieRoutes = false }},
	"a domain cookie": {change: func(c *Config) {
		c.Cookie = Cookie{Name: "session", Domain: "example.com", Secure: true, SameSite: http.SameSiteNoneMode, Partitioned: true}
	}},
	"the tutorial's server": {change: func(c *Config) {
		base(c, "http://127.0.0.1:8080")
		c.Cookie = Cookie{Name: "session", SameSite: http.SameSiteLaxMode}
		c.Method, c.AskPassword, c.Accounts = "name", false, byName{everybody()}
	}},
	"plain http": {change: func(c *Config) {
		base(c, "http://auth.lan")
		c.Cookie = Cookie{Name: "session", SameSite: http.SameSiteLaxMode}
	}},
}

// noon is when the pairs happen, after the Unix time that bubbles begin with.
const noon = 12 * time.Hour

// placeholders are what requests may name: sessions of every kind, minted in
// bubbles of their own at their own time, and what would be too long to write.
func placeholders(t *testing.T) map[string]string {
	values := map[string]string{
		"5000 bytes": strings.Repeat("a", 5000), "80 bytes": strings.Repeat("p", 80), "17000 bytes": strings.Repeat("b", 17000),
		"65 bytes": strings.Repeat("n", 65), "1025 bytes": strings.Repeat("v", 1025),
	}
	var many []string
	for i := range maxRawCookies {
		many = append(many, fmt.Sprintf("c%d=%d", i, i))
	}
	values["50 cookies"] = strings.Join(many, "; ")
	mint := func(name string, ago time.Duration, secret, user string, g token.Grant) {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(noon - ago)
			id := everybody()[user]
			id.User = user
			raw, _, err := newSessions(t, secret).Mint(id, g, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			values[name] = raw
		})
	}
	password := token.Grant{Via: "htpasswd"}
	permanent := token.Grant{Via: "htpasswd", Permanent: true}
	mint("session", 5*time.Minute, testSecret, "letian", password)
	mint("session of ann", 5*time.Minute, testSecret, "ann", password)
	mint("session of 乐天", 5*time.Minute, testSecret, "乐天", password)
	mint("permanent session", 5*time.Minute, testSecret, "letian", permanent)
	mint("due session", 50*time.Minute, testSecret, "letian", password)
	mint("due permanent session", 50*time.Minute, testSecret, "letian", permanent)
	mint("due session of one who is gone", 50*time.Minute, testSecret, "gone", password)
	mint("due session of panics", 50*time.Minute, testSecret, "panics", password)
	mint("due session by name", 50*time.Minute, testSecret, "letian", token.Grant{Via: "name"})
	mint("expired session", 2*time.Hour, testSecret, "letian", password)
	mint("future session", -time.Hour, testSecret, "letian", password)
	mint("session of another secret", 5*time.Minute, strings.Repeat("x", 32), "letian", password)
	mint("token", 50*time.Minute, testSecret, "ci", token.Grant{Via: token.ViaToken})
	values["tampered session"] = tamper(values["session"])
	return values
}

// tamper changes one character in the middle of the signature.
func tamper(raw string) string {
	b := []byte(raw)
	i := len(b) - 10
	if b[i]++; b[i] > 'y' || b[i] == 'a'-1 || b[i] == 'Z'+1 || b[i] == '9'+1 {
		b[i] = 'b'
	}
	return string(b)
}

var placeholder = regexp.MustCompile(`{{([^}]+)}}`)

// pairFile is a request and its answer as they go over the wire.
type pairFile struct {
	head    string // the comment: why, and perhaps on which server
	on      string
	request string // with placeholders
	answer  string // with placeholders
}

const separator = "\n---\n"

func readPair(t testing.TB, path string) pairFile {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var p pairFile
	rest := string(data)
	for strings.HasPrefix(rest, "#") {
		line, after, _ := strings.Cut(rest, "\n")
		if on, ok := strings.CutPrefix(line, "# on: "); ok {
			p.on = on
		}
		p.head += line + "\n"
		rest = after
	}
	p.request, p.answer, _ = strings.Cut(strings.TrimPrefix(rest, "\n"), separator)
	return p
}

// raw makes of the request in a file the bytes that a client sends: line ends,
// the length of a body, and the placeholders' values.
func (p pairFile) raw(t testing.TB, values map[string]string) string {
	t.Helper()
	request := placeholder.ReplaceAllStringFunc(p.request, func(name string) string {
		v, ok := values[name[2:len(name)-2]]
		if !ok {
			t.Fatalf("there is no placeholder %s", name)
		}
		return v
	})
	head, body, _ := strings.Cut(request, "\n\n")
	head = strings.TrimSuffix(head, "\n")
	if body = strings.TrimSuffix(body, "\n"); body != "" {
		head += fmt.Sprintf("\nContent-Length: %d", len(body))
	}
	return strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + body
}

// pipeListener accepts one connection.
type pipeListener struct{ conns chan net.Conn }

func (l pipeListener) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l pipeListener) Close() error   { return nil }
func (l pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

type pipeConn struct {
	net.Conn
	peer net.Addr
}

func (c pipeConn) RemoteAddr() net.Addr { return c.peer }

// pairOnWire sends a raw request to a real http.Server and reads the answer.
func pairOnWire(t testing.TB, h http.Handler, peer, raw string) (*http.Response, string) {
	t.Helper()
	client, server := net.Pipe()
	defer client.Close()
	l := pipeListener{make(chan net.Conn, 1)}
	l.conns <- pipeConn{server, &net.TCPAddr{IP: net.ParseIP(peer), Port: 54321}}
	close(l.conns)
	go (&http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}).Serve(l)
	go io.WriteString(client, raw)
	method, _, _ := strings.Cut(raw, " ")
	answer, err := http.ReadResponse(bufio.NewReader(client), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("half an answer: %v", err)
	}
	return answer, string(body)
}

var (
	jwtText = regexp.MustCompile(`ey[\w-]+\.[\w-]+\.[\w-]+`)
	sidText = regexp.MustCompile(`"sid":"[^"]*"`)
)

var nameStatus = regexp.MustCompile(`-[2345]\d\d\b`)

// dump writes an answer with its headers sorted and without what is new each
// time: the date, lengths, tokens and session ids.
func dump(answer *http.Response, body string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", answer.Proto, answer.Status)
	for _, name := range slices.Sorted(maps.Keys(answer.Header)) {
		if name == "Date" || name == "Content-Length" {
			continue
		}
		for _, v := range answer.Header[name] {
			b.WriteString(strings.TrimSpace(name+": "+v) + "\n")
		}
	}
	if strings.Contains(answer.Header.Get("Content-Type"), "version=0.0.4") {
		body = "{{metrics}}\n"
	}
	text := jwtText.ReplaceAllLiteralString(b.String()+"\n"+body, "{{token}}")
	return sidText.ReplaceAllLiteralString(text, `"sid":"{{sid}}"`)
}

// TestWire holds every pair of testdata/wire against a server that is made for
// it and reached through net/http as it is in service. What is true of all
// answers is checked on the way: nothing secret in the log, no answer about
// somebody that may be kept, no label that was not there from the start.
func TestWire(t *testing.T) {
	values := placeholders(t)
	paths, err := filepath.Glob("testdata/wire/*.http")
	if err != nil || len(paths) == 0 {
		t.Fatal("no pairs", err)
	}
	used := map[string]bool{}
	for _, path := range paths {
		p := readPair(t, path)
		for _, m := range placeholder.FindAllStringSubmatch(p.request, -1) {
			used[m[1]] = true
		}
		used["# on: "+p.on] = true
		t.Run(strings.TrimSuffix(filepath.Base(path), ".http"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testPair(t, path, p, values) })
		})
	}
	for name := range values {
		if !used[name] {
			t.Errorf("no pair uses {{%s}}", name)
		}
	}
	for name := range variants {
		if !used["# on: "+name] {
			t.Errorf("no pair is on %q", name)
		}
	}
}

func testPair(t *testing.T, path string, p pairFile, values map[string]string) {
	time.Sleep(noon)
	on, ok := variants[p.on]
	if !ok {
		t.Fatalf("there is no server %q", p.on)
	}
	var change []func(*Config)
	if on.change != nil {
		change = append(change, on.change)
	}
	s, log := newServer(t, change...)
	s.SetReady(on.ready)
	h := s.Public()
	if on.admin {
		h = s.Admin()
	}
	before := series(s)
	raw := p.raw(t, values)
	answer, body := pairOnWire(t, h, cmp.Or(on.peer, "127.0.0.1"), raw)
	got := dump(answer, body)
	// The name is the policy: an -update cannot change it unseen.
	if status := nameStatus.FindString(path); status != "" && !strings.HasPrefix(answer.Status, status[1:]) {
		t.Errorf("%s: answered with %s", filepath.Base(path), answer.Status)
	}
	switch {
	case *update:
		p.answer = got
		if err := os.WriteFile(path, []byte(p.head+"\n"+p.request+separator+p.answer), 0o644); err != nil {
			t.Fatal(err)
		}
	case got != p.answer:
		t.Errorf("%s-want +got\n%s", p.head, gocmp.Diff(strings.Split(p.answer, "\n"), strings.Split(got, "\n")))
	}
	request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	testNothingLogged(t, request, answer, log.String())
	testNotKept(t, request, answer)
	if after := series(s); after != before {
		t.Errorf("%d series before, %d after", before, after)
	}
}

// series counts the series of all metrics of ours.
func series(s *Server) int {
	return strings.Count(ask(s.Admin(), "GET /metrics").Body.String(), "\nauthsvc_")
}

// testNothingLogged fails if the log has something of the request or the
// answer that DESIGN.md's conventions keep out of it.
func testNothingLogged(t *testing.T, r *http.Request, answer *http.Response, log string) {
	t.Helper()
	if !strings.Contains(log, "msg=request") {
		t.Error("no access line")
	}
	secrets := []string{rightPassword, url.QueryEscape(rightPassword), wrongPassword, strings.Repeat("p", 80), r.URL.RawQuery}
	for c := range pairs(r.Header) {
		secrets = append(secrets, c.value)
	}
	_, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	secrets = append(secrets, credentials)
	for _, name := range []string{"X-Original-Url", "X-Forwarded-Uri"} {
		_, query, _ := strings.Cut(r.Header.Get(name), "?")
		secrets = append(secrets, query)
	}
	for _, c := range answer.Cookies() {
		secrets = append(secrets, c.Value)
	}
	for _, secret := range secrets {
		if len(secret) > 3 && strings.Contains(log, secret) {
			t.Errorf("the log has %.60q:\n%s", secret, log)
		}
	}
}

// testNotKept fails if a cache may keep an answer that depends on who asks.
func testNotKept(t *testing.T, r *http.Request, answer *http.Response) {
	t.Helper()
	public := answer.StatusCode == http.StatusOK && (strings.HasPrefix(r.URL.Path, "/static/") || r.URL.Path == "/.well-known/jwks.json")
	kept := answer.Header.Get("Cache-Control") != "no-store" || !strings.Contains(answer.Header.Get("Vary"), "Cookie")
	if kept != public {
		t.Errorf("Cache-Control %q, Vary %q", answer.Header["Cache-Control"], answer.Header["Vary"])
	}
	if public && len(answer.Header["Set-Cookie"]) > 0 {
		t.Error("a Set-Cookie that a cache may keep")
	}
	if len(answer.Header["Set-Cookie"]) > 1 {
		t.Error("more than one Set-Cookie: nginx passes on the first only")
	}
}

// FuzzRequest asks whether any request at all gets the service to fail, to
// allow a check without saying whom, or to leave the statuses that a check's
// proxy understands.
func FuzzRequest(f *testing.F) {
	paths, _ := filepath.Glob("testdata/wire/*.http")
	for _, path := range paths {
		p := readPair(f, path)
		p.request = placeholder.ReplaceAllString(p.request, "{{session}}")
		f.Add(p.raw(f, map[string]string{"session": "SESSION"}))
	}
	s, _ := newServer(f, func(c *Config) { c.Log = slog.New(slog.DiscardHandler) })
	raw, _, err := s.Sessions.Mint(everybody()["letian"], token.Grant{Via: s.Method}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	public := s.Public()
	f.Fuzz(func(t *testing.T, request string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(request, "SESSION", raw))))
		if err != nil || r.Method == http.MethodConnect {
			return
		}
		r.RemoteAddr = "127.0.0.1:54321"
		w := httptest.NewRecorder()
		public.ServeHTTP(w, r)
		names := strings.ReplaceAll(request, "SESSION", "")
		if w.Code >= 500 && !strings.Contains(names, "busy") && !strings.Contains(names, "broken") && !strings.Contains(names, "panics") && !strings.Contains(names, "crowded") {
			t.Errorf("%d: %s", w.Code, w.Body)
		}
		if r.URL.Path != "/verify" && r.URL.Path != "/verify/forward" {
			return
		}
		if w.Code != 200 && w.Code != 401 && w.Code != 403 && !(w.Code == 302 && r.URL.Path == "/verify/forward") {
			t.Errorf("a check is answered with %d", w.Code)
		}
		if (w.Code == 200) != (w.Header().Get("Remote-User") == "letian") {
			t.Errorf("%d with Remote-User %q", w.Code, w.Header()["Remote-User"])
		}
	})
}
