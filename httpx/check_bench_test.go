package httpx

import (
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"authsvc/login"
	"authsvc/metrics"
	"authsvc/token"
)

// nowhere is a ResponseWriter that keeps nothing.
type nowhere struct{ h http.Header }

func (w nowhere) Header() http.Header         { return w.h }
func (w nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w nowhere) WriteHeader(int)             {}

// checkServer is a service with a session, as it runs by default.
func checkServer(tb testing.TB) (*Server, string) {
	tb.Helper()
	secret, err := token.NewSecret(strings.Repeat("s", 32), time.Time{})
	if err != nil {
		tb.Fatal(err)
	}
	sessions, err := token.New(token.Config{Algorithm: token.EdDSA, Secrets: []token.Secret{secret}, Rotation: 24 * time.Hour, TTL: time.Hour, Max: 24 * time.Hour}, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	base, _ := url.Parse("http://127.0.0.1:8080")
	s, err := New(Config{
		BaseURL: base, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		Cookie: Cookie{Name: "session", SameSite: http.SameSiteLaxMode}, CookieRoutes: true,
		Sessions: sessions, Method: "name", Accounts: login.Name{},
		Metrics: metrics.New(metrics.Config{Routes: RouteNames(), Dialects: Dialects(), Methods: []string{"name"}}),
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		tb.Fatal(err)
	}
	raw, _, err := sessions.Mint(token.Identity{User: "letian", Groups: []string{"staff"}}, token.Grant{Via: "name"}, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	return s, raw
}

// asNginx is a check as nginx sends it for a browser.
func asNginx(raw string) *http.Request {
	r, _ := http.NewRequest("GET", "/verify", nil)
	r.RemoteAddr = "127.0.0.1:50000"
	for name, value := range map[string]string{
		"X-Original-Url": "https://app.example.com/mail/inbox?page=2&sort=date", "X-Original-Method": "GET",
		"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
		"Accept-Language": "en-US,en;q=0.5", "Accept-Encoding": "gzip, deflate, br", "Upgrade-Insecure-Requests": "1", "Sec-Fetch-Dest": "document",
		"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-User": "?1", "Priority": "u=0, i", "Referer": "https://app.example.com/mail", "Te": "trailers",
	} {
		r.Header.Set(name, value)
	}
	cookies := []string{}
	for i := range 20 {
		cookies = append(cookies, "preference_"+string(rune('a'+i))+"=some-value-of-a-cookie")
	}
	cookies[13] = "session=" + raw
	r.Header.Set("Cookie", strings.Join(cookies, "; "))
	return r
}

// What a check allocates is recorded here; a handler that sets the same headers
// with Set allocates ten times.
func TestCheckAllocations(t *testing.T) {
	s, raw := checkServer(t)
	public := s.Public()
	for name, r := range map[string]*http.Request{"bare": bareCheck(raw), "nginx": asNginx(raw)} {
		if n := testing.AllocsPerRun(1000, func() { public.ServeHTTP(nowhere{http.Header{}}, r) }); n > 4 {
			t.Errorf("%s: %v allocations, 4 are recorded: the header map twice, the identity, the exchange", name, n)
		}
	}
}

func bareCheck(raw string) *http.Request {
	r, _ := http.NewRequest("GET", "/verify", nil)
	r.RemoteAddr = "127.0.0.1:50000"
	r.Header.Set("Cookie", "session="+raw)
	return r
}

func BenchmarkCheck(b *testing.B) {
	s, raw := checkServer(b)
	bare := bareCheck(raw)
	none := bare.Clone(b.Context())
	none.Header.Del("Cookie")
	same := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Vary", "Cookie, Accept")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Remote-User", "letian")
		h.Set("Remote-Groups", "staff")
		h.Set("Remote-Name", "")
		h.Set("Remote-Email", "")
	})
	for _, bc := range []struct {
		name string
		h    http.Handler
		r    *http.Request
	}{{"same answer", same, bare}, {"bare", s.Public(), bare}, {"nginx", s.Public(), asNginx(raw)}, {"no cookie", s.Public(), none}} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bc.h.ServeHTTP(nowhere{http.Header{}}, bc.r)
			}
		})
	}
}
