package httpx

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"authsvc/token"
)

func TestCookieText(t *testing.T) {
	end := &token.Claims{Issued: 1e9, Expires: 1e9 + 5400}
	permanent := *end
	permanent.Permanent = true
	for _, row := range []struct {
		cookie Cookie
		claims *token.Claims
		want   string
	}{
		{Cookie{Name: "__Host-session", Secure: true, SameSite: http.SameSiteLaxMode}, end, "__Host-session=T; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{Cookie{Name: "__Host-session", Secure: true, SameSite: http.SameSiteLaxMode}, &permanent, "__Host-session=T; Path=/; Max-Age=5400; HttpOnly; Secure; SameSite=Lax"},
		{Cookie{Name: "session", SameSite: http.SameSiteLaxMode}, end, "session=T; Path=/; HttpOnly; SameSite=Lax"},
		{Cookie{Name: "session", SameSite: http.SameSiteStrictMode}, &permanent, "session=T; Path=/; Max-Age=5400; HttpOnly; SameSite=Strict"},
		{Cookie{Name: "session", Domain: "example.com", Secure: true, SameSite: http.SameSiteLaxMode}, end, "session=T; Path=/; Domain=example.com; HttpOnly; Secure; SameSite=Lax"},
		{Cookie{Name: "__Host-s", Secure: true, SameSite: http.SameSiteNoneMode, Partitioned: true}, &permanent, "__Host-s=T; Path=/; Max-Age=5400; HttpOnly; Secure; SameSite=None; Partitioned"},
	} {
		got, err := row.cookie.session("T", row.claims)
		if err != nil || got != row.want {
			t.Errorf("%+v: %s, %v; want %s", row.cookie, got, err, row.want)
		}
		// Browsers find the cookie to delete by name, domain and path, and
		// refuse a deletion that they would refuse as a cookie.
		kept := strings.Replace(strings.Replace(row.want, "=T;", "=;", 1), "; Max-Age=5400", "", 1)
		if deletion := strings.Replace(row.cookie.deletion(), "; Max-Age=0", "", 1); deletion != kept {
			t.Errorf("deletion %s, want but for Max-Age=0 %s", row.cookie.deletion(), kept)
		}
		if !strings.Contains(row.cookie.deletion(), "Max-Age=0") {
			t.Errorf("%s deletes nothing", row.cookie.deletion())
		}
	}
}

// A cookie fits with all its attributes, or is refused: browsers drop a larger
// one without a word, which is a redirect loop to whoever signs in.
func TestCookieFits(t *testing.T) {
	c := Cookie{Name: "__Host-session", Secure: true, SameSite: http.SameSiteLaxMode}
	rest := len(c.set("", 0))
	for n, fits := range map[int]bool{1: true, 4096 - rest: true, 4096 - rest + 1: false, 5000: false} {
		line, err := c.session(strings.Repeat("a", n), &token.Claims{})
		if fits != (err == nil) || fits != (line != "") || err != nil && !errors.Is(err, ErrSessionSize) {
			t.Errorf("%d bytes: %d bytes, %v", n, len(line), err)
		}
	}
}

// TestCandidates is the strict reading of Cookie headers: one that is more
// lenient than the next reader's is one that an attacker can use.
func TestCandidates(t *testing.T) {
	c := Cookie{Name: "__Host-session"}
	for _, row := range []struct {
		lines []string
		want  []string
		found int
		why   string
	}{
		{nil, nil, 0, "none"},
		{[]string{""}, nil, 0, "an empty header"},
		{[]string{"__Host-session=a"}, []string{"a"}, 1, "one"},
		{[]string{"x=1; __Host-session=a; y=2"}, []string{"a"}, 1, "among others"},
		{[]string{"x=1;__Host-session=a;y=2"}, []string{"a"}, 1, "without the space, as some clients join them"},
		{[]string{"x=1", "__Host-session=a"}, []string{"a"}, 1, "HTTP/2 splits the header (RFC 9113 §8.2.3)"},
		{[]string{"__Host-session=a; __Host-session=b"}, []string{"a", "b"}, 2, "the most specific path first"},
		{[]string{"__Host-session=a", "__Host-session=b"}, []string{"a", "b"}, 2, "in two headers"},
		{[]string{strings.Repeat("__Host-session=a;", 9)}, []string{"a", "a", "a", "a"}, 9, "at most four are tried"},
		{[]string{"__host-session=a; __HOST-SESSION=a; session=a; __Host-sessio=a; __Host-session2=a"}, nil, 0, "names are exact"},
		{[]string{"  __Host-session=a"}, nil, 0, "a name that begins with a space is another"},
		{[]string{"__Host-session =a; \t__Host-session=a; __Host-session\t=a"}, nil, 0, "no white space is trimmed off a name"},
		{[]string{"__Host-session= a"}, []string{" a"}, 1, "nor off a value"},
		{[]string{"__Host-session=a "}, []string{"a "}, 1, "at neither end"},
		{[]string{`__Host-session="a"`}, []string{`"a"`}, 1, "quotes are part of the value"},
		{[]string{`x="; __Host-session=a; y="`}, []string{"a"}, 1, "a quoted semicolon separates, as it does to browsers"},
		{[]string{`$Version=1; __Host-session=a; $Path=/`}, []string{"a"}, 1, "RFC 2109 is dead"},
		{[]string{"__Host-session"}, nil, 0, "no value is no cookie"},
		{[]string{"__Host-session="}, []string{""}, 1, "an empty value is one"},
		{[]string{"__Host-session=a=b"}, []string{"a=b"}, 1, "the first = separates"},
		{[]string{"=__Host-session=a"}, nil, 0, "a cookie without a name"},
		{[]string{"x=1, __Host-session=a"}, nil, 0, "a comma joins nothing"},
		{[]string{"__Host-session=a\x00b"}, []string{"a\x00b"}, 1, "for the verifier to refuse"},
		{[]string{"__Host-session=é%C3"}, []string{"é%C3"}, 1, "nothing is decoded"},
	} {
		got, found := c.candidates(http.Header{"Cookie": row.lines})
		if !slices.Equal(got[:min(found, maxCandidates)], row.want) || found != row.found {
			t.Errorf("%q: %q of %d, want %q of %d (%s)", row.lines, got, found, row.want, row.found, row.why)
		}
	}
}

func FuzzCookies(f *testing.F) {
	for _, seed := range []string{"a=b", "__Host-session=a; x=1", `a="b;c"; d`, "=; =a; a=", " a =b;\tc= d ", "a=b;c=d; e=f,g=h", " ab=1;ab=2; ab=3;  ab=4;abab=5; xab=6;ab;ab=ab=7"} {
		f.Add(seed)
	}
	for _, set := range wptCookies(f) {
		f.Add(set.header)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var names, values []string
		for p := range pairs(http.Header{"Cookie": {line}}) {
			if !strings.Contains(line, p.name+"="+p.value) || strings.ContainsAny(p.name, "=;") || strings.Contains(p.value, ";") {
				t.Fatalf("%q: reads %q", line, p)
			}
			names, values = append(names, p.name), append(values, p.value)
		}
		// net/http reads a well-formed header the same, but for quotes, which
		// it takes off: it must never see one of our cookies that we do not.
		if known, err := http.ParseCookie(line); err == nil {
			var knownNames, knownValues []string
			for _, c := range known {
				v := c.Value
				if c.Quoted {
					v = `"` + v + `"`
				}
				knownNames, knownValues = append(knownNames, c.Name), append(knownValues, v)
			}
			if wellSpaced(line) {
				if d := gocmp.Diff(knownNames, names); d != "" {
					t.Errorf("%q: names: -net/http +ours\n%s", line, d)
				}
				if d := gocmp.Diff(knownValues, values); d != "" {
					t.Errorf("%q: values: -net/http +ours\n%s", line, d)
				}
			}
		}
		// Looking for one name finds what looking at every cookie does.
		var ours []string
		for p := range pairs(http.Header{"Cookie": {line}}) {
			if p.name == "ab" {
				ours = append(ours, p.value)
			}
		}
		found, n := Cookie{Name: "ab"}.candidates(http.Header{"Cookie": {line}})
		if n != len(ours) || !slices.Equal(found[:min(n, maxCandidates)], ours[:min(n, maxCandidates)]) {
			t.Errorf("%q: %q of %d, one by one %q", line, found, n, ours)
		}
	})
}

// wellSpaced reports that the only white space of a line is a space after each
// semicolon, as browsers write it.
func wellSpaced(line string) bool {
	return !strings.ContainsAny(strings.ReplaceAll(line, "; ", ";"), " \t\r\n") && !strings.HasSuffix(line, " ")
}

// wptCookie is a case of web-platform-tests: what a site sets, and the Cookie
// header that a browser sends then.
type wptCookie struct {
	set    []string
	header string
}

func wptCookies(t testing.TB) []wptCookie {
	t.Helper()
	text, err := os.ReadFile("testdata/cookies/wpt-cookies.json")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]struct {
		Set    []string
		Expect any
	}{}
	if err := json.Unmarshal(text, &files); err != nil {
		t.Fatal(err)
	}
	var all []wptCookie
	for _, file := range files {
		for _, row := range file {
			header, _ := row.Expect.(string)
			all = append(all, wptCookie{row.Set, header})
		}
	}
	return all
}

// What browsers make of strange Set-Cookie lines comes back in their Cookie
// headers: each is read as the browser keeps it, byte for byte.
func TestWebPlatformCookiesAreReadAsSent(t *testing.T) {
	n := 0
	for _, row := range wptCookies(t) {
		var want []string
		for c := range strings.SplitSeq(row.header, "; ") {
			if strings.Contains(c, "=") { // one without a name is no pair
				want = append(want, c)
			}
		}
		var got []string
		for p := range pairs(http.Header{"Cookie": {row.header}}) {
			got = append(got, p.name+"="+p.value)
		}
		if d := gocmp.Diff(want, got); d != "" {
			t.Errorf("%.200q: -want +got\n%s", row.header, d)
		}
		n += len(got)
	}
	if n < 40 {
		t.Errorf("only %d cookies were read", n)
	}
}

// /add writes what it was asked for or refuses, also for the names and values
// that others have stumbled over.
func TestWebPlatformCookiesAreAddedOrRefused(t *testing.T) {
	s, _ := newServer(t)
	added, refused := 0, 0
	for _, row := range wptCookies(t) {
		for _, set := range row.set {
			first, _, _ := strings.Cut(set, ";")
			name, value, _ := strings.Cut(first, "=")
			w := ask(s.Public(), "GET /add?"+url.Values{"name": {name}, "value": {value}}.Encode())
			if w.Code == http.StatusBadRequest && len(w.Header()["Set-Cookie"]) == 0 {
				refused++
				continue
			}
			c, err := http.ParseSetCookie(w.Header().Get("Set-Cookie"))
			if w.Code != http.StatusOK || err != nil || c.Name != name || c.Value != value || c.Quoted || c.Domain != "" || c.MaxAge != rawSeconds {
				t.Errorf("%.60q: %d %s", set, w.Code, w.Header()["Set-Cookie"])
			}
			added++
		}
	}
	if added < 20 || refused < 20 {
		t.Errorf("%d added, %d refused", added, refused)
	}
}

// The raw routes keep away from the session whatever it is called.
func TestReservedNames(t *testing.T) {
	for _, row := range []struct {
		session  string
		reserved []string
		free     []string
	}{
		{"__Host-session", []string{"__Host-session", "session", "Session", "__host-SESSION", "__Secure-session", "__Http-session", "__x", "authsvc", "AUTHSVC_flow", "authsvc-csrf"}, []string{"name", "session2", "mysession", "_session", "auth"}},
		{"session", []string{"session", "SESSION", "__Host-session", "__Host-x"}, []string{"name", "sid"}},
		{"__Secure-sid", []string{"sid", "SID", "__Secure-sid", "__Host-sid"}, []string{"session", "sid2"}},
		{"SID", []string{"sid", "SID", "__Host-sid"}, []string{"session"}},
	} {
		s, _ := newServer(t, func(c *Config) { c.Cookie.Name = row.session })
		for _, name := range append(slices.Clone(row.reserved), row.free...) {
			want := http.StatusOK
			if slices.Contains(row.reserved, name) {
				want = http.StatusBadRequest
			}
			for _, path := range []string{"/add", "/del"} {
				w := ask(s.Public(), "GET "+path+"?name="+name)
				if w.Code != want || (w.Code == 200) != (len(w.Header()["Set-Cookie"]) == 1) {
					t.Errorf("the session is %s: %s of %s: %d %s", row.session, path, name, w.Code, w.Header()["Set-Cookie"])
				}
			}
			w := ask(s.Public(), "GET /cookies", "Cookie: "+name+"=TheValue")
			if shown := strings.Contains(w.Body.String(), "TheValue"); shown != (want == http.StatusOK) {
				t.Errorf("the session is %s: /cookies shows %s: %v", row.session, name, shown)
			}
		}
	}
}

// Who has too many cookies already can still replace one.
func TestReplacingACookieBeyondTheCap(t *testing.T) {
	s, _ := newServer(t)
	have := "Cookie: " + strings.Repeat("x=y; ", 2*maxRawCookies) + "last=1"
	for name, want := range map[string]int{"last": 200, "x": 200, "fresh": 400} {
		if w := ask(s.Public(), "GET /add?name="+name, have); w.Code != want {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// No session leaves in the text of an answer, whatever a script does to get
// around HttpOnly.
func TestSessionIsNeverPrinted(t *testing.T) {
	s, _ := newServer(t)
	raw := mustSignIn(t, s)
	for _, cookie := range []string{
		"__Host-session=" + raw, "session=" + raw, "x=" + raw, "__Host-session=x; __Host-session=" + raw,
		"__HOST-session=" + raw, "a=b; c=" + raw + "; d=e",
	} {
		for _, accept := range []string{"*/*", "application/json", "text/html"} {
			for _, path := range []string{"/", "/show", "/cookies", "/add", "/del", "/login", "/verify", "/verify?group=x", "/nothing"} {
				w := ask(s.Public(), "GET "+path, "Cookie: "+cookie, "Accept: "+accept)
				if strings.Contains(w.Body.String(), raw) {
					t.Errorf("GET %s with Accept %s and Cookie %.30s…: prints the session", path, accept, cookie)
				}
			}
		}
	}
}
