package httpx

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestRawRouteGuard is who may have a cookie set, shown or deleted by a GET.
func TestRawRouteGuard(t *testing.T) {
	https, _ := newServer(t)
	local, _ := newServer(t, variants["the tutorial's server"].change)
	plain, _ := newServer(t, variants["plain http"].change)
	port, _ := newServer(t, func(c *Config) { base(c, "https://auth.example.com:443") })
	for _, row := range []struct {
		server *Server
		host   string
		header http.Header
		allow  bool
		why    string
	}{
		{https, "auth.example.com", headers("Sec-Fetch-Site: none"), true, "the address bar"},
		{https, "auth.example.com", headers("Sec-Fetch-Site: same-origin"), true, "our own page"},
		{https, "auth.example.com", headers("Sec-Fetch-Site: same-site"), false, "a sub-domain"},
		{https, "auth.example.com", headers("Sec-Fetch-Site: cross-site"), false, "another site"},
		{https, "auth.example.com", headers("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-User: ?1"), false, "a link on another site"},
		{https, "auth.example.com", headers("Sec-Fetch-Site: Same-Origin"), false, "no browser writes it so"},
		{https, "auth.example.com", headers("Sec-Fetch-Site: whatever"), false, "what is not known is not allowed"},
		{https, "auth.example.com", headers("Sec-Fetch-Site: none", "Sec-Purpose: prefetch"), false, "a guess of the address bar"},
		{https, "auth.example.com", headers("Sec-Fetch-Site: same-origin", "Sec-Purpose: prefetch;prerender"), false, "a guess of our own page"},
		{https, "auth.example.com", nil, true, "curl: a browser would have said, over https"},
		{https, "AUTH.example.com", nil, true, "hosts have no case"},
		{https, "localhost:8080", nil, true, "curl on the machine"},
		{https, "other.example.com", nil, false, "nobody knows what that is"},
		{https, "", nil, false, "HTTP/1.0 without Host"},
		{local, "127.0.0.1:8080", nil, true, "curl: a browser would have said, to loopback"},
		{local, "127.8.9.10", nil, true, "all of 127.0.0.0/8 is loopback"},
		{local, "[::1]:8080", nil, true, "loopback too"},
		{local, "[::1]", nil, true, "without a port"},
		{local, "LocalHost:8080", nil, true, "by name"},
		{local, "a.localhost", nil, true, "RFC 6761 §6.3"},
		{local, "localhost.evil.example", nil, false, "DNS rebinding"},
		{local, "evillocalhost", nil, false, "the dot belongs to the suffix"},
		{local, "127.0.0.1.evil.example", nil, false, "DNS rebinding"},
		{local, "192.168.1.7:8080", nil, false, "a browser says nothing there"},
		{local, "127.0.0.1:8080", headers("Sec-Fetch-Site: cross-site"), false, "another site, to loopback"},
		{plain, "auth.lan", nil, false, "a browser says nothing over plain http"},
		{plain, "127.0.0.1:8080", nil, false, "the same behind a proxy that does not pass Host on"},
		{port, "auth.example.com", nil, true, "the default port is left out of Host"},
		{plain, "auth.lan", headers("Sec-Fetch-Site: cross-site"), false, "another site all the same"},
		{plain, "auth.lan", headers("Sec-Fetch-Site: same-origin"), true, "a browser that does say"},
	} {
		for _, path := range []string{"/add", "/cookies", "/del"} {
			for _, method := range []string{"GET", "HEAD"} {
				r := httptest.NewRequest(method, path, nil)
				r.Host = row.host
				if row.header != nil {
					r.Header = row.header
				}
				w := httptest.NewRecorder()
				row.server.Public().ServeHTTP(w, r)
				if want := map[bool]int{true: 200, false: 403}[row.allow]; w.Code != want {
					t.Errorf("%s %s at %q with %v: %d, want %d (%s)", method, path, row.host, row.header, w.Code, want, row.why)
				}
				if !row.allow && len(w.Header()["Set-Cookie"]) > 0 {
					t.Errorf("%s %s at %q with %v: refused, and sets a cookie", method, path, row.host, row.header)
				}
			}
		}
	}
}

// TestSignOutGuard is who may sign somebody out.
func TestSignOutGuard(t *testing.T) {
	s, _ := newServer(t)
	for _, row := range []struct {
		method string
		header http.Header
		allow  bool
		why    string
	}{
		{"GET", nil, true, "curl"},
		{"GET", headers("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"), true, "the address bar"},
		{"GET", headers("Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"), true, "a script of our own"},
		{"GET", headers("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"), true, "the sign-out link of an app"},
		{"GET", headers("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"), true, "the same, of a sub-domain"},
		{"GET", headers("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"), false, "an image"},
		{"GET", headers("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script"), false, "a script element"},
		{"GET", headers("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"), false, "a fetch"},
		{"GET", headers("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: document"), false, "one of the two is not enough"},
		{"GET", headers("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"), false, "a frame"},
		{"GET", headers("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: object"), false, "an object"},
		{"GET", headers("Sec-Fetch-Site: cross-site"), false, "half the headers"},
		{"GET", headers("Sec-Fetch-Site: none", "Sec-Purpose: prefetch"), false, "a guess of the address bar"},
		{"HEAD", headers("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty"), false, "HEAD is a GET"},
		{"POST", nil, true, "curl"},
		{"POST", headers("Sec-Fetch-Site: same-origin", "Origin: null"), true, "our own form, without a referrer"},
		{"POST", headers("Origin: https://auth.example.com"), true, "our own form in an old browser"},
		{"POST", headers("Sec-Fetch-Site: same-site", "Origin: https://app.example.com"), false, "a form of a sub-domain"},
		{"POST", headers("Sec-Fetch-Site: cross-site", "Origin: https://evil.example"), false, "a form of another site"},
		{"POST", headers("Origin: https://evil.example"), false, "the same in an old browser"},
		{"POST", headers("Origin: null"), false, "a sandboxed frame in an old browser"},
		{"POST", headers("Origin: https://auth.example.com.evil.example"), false, "origins are exact"},
	} {
		r := httptest.NewRequest(row.method, "/logout", nil)
		r.Host = "auth.example.com"
		if row.header != nil {
			r.Header = row.header
		}
		w := httptest.NewRecorder()
		s.Public().ServeHTTP(w, r)
		if want := map[bool]int{true: 303, false: 403}[row.allow]; w.Code != want {
			t.Errorf("%s with %v: %d, want %d (%s)", row.method, row.header, w.Code, want, row.why)
		}
		if signedOut := len(w.Header()["Set-Cookie"]) > 0; signedOut != row.allow {
			t.Errorf("%s with %v: deletes the cookie: %v (%s)", row.method, row.header, signedOut, row.why)
		}
	}
}
