package httpx

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	whatwg "github.com/nlnwa/whatwg-url/url"
)

// headers makes a header of "Name: value" lines as a server would.
func headers(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

type forwardedRow struct {
	header      http.Header
	method, url string // url is empty for none
	refused     string // what the error says after the sentinel; empty if accepted
	why         string
}

func testForwarded(t *testing.T, read func(http.Header) (original, error), rows []forwardedRow) {
	t.Helper()
	for _, row := range rows {
		got, err := read(row.header)
		if row.refused != "" {
			if want := "forwarded headers refused: " + row.refused; !errors.Is(err, ErrForwarded) || err.Error() != want {
				t.Errorf("%.300q: error %v, want %s (%s)", row.header, err, want, row.why)
			}
			if got != (original{}) {
				t.Errorf("%.300q: refused, but returns %v", row.header, got)
			}
			continue
		}
		if err != nil {
			t.Errorf("%.300q: %v (%s)", row.header, err, row.why)
			continue
		}
		var u string
		if got.URL() != nil {
			u = got.URL().String()
		}
		if got.Method != row.method || u != row.url {
			t.Errorf("%.300q: %q %q, want %q %q (%s)", row.header, got.Method, u, row.method, row.url, row.why)
		}
	}
}

func TestOriginalFromURL(t *testing.T) {
	const form = "X-Original-Url: not of the form scheme://host/uri"
	const other = "it belongs to the other kind of proxy; use the endpoint made for yours"
	const badHost = "X-Original-Url: not a host name or IP address; write app.example.com, 192.0.2.1 or [2001:db8::1]"
	testForwarded(t, originalFromURL, []forwardedRow{
		{headers(), "", "", "", "a plain check needs no URL"},
		{headers("X-Original-Method: GET"), "GET", "", "", "nor has one the other as a consequence"},
		{headers("X-Original-Url: https://app.example.com/a?b=c"), "", "https://app.example.com/a?b=c", "", "the method is optional"},
		{headers("X-Original-Method: PROPFIND", "X-Original-Url: https://app.example.com/"), "PROPFIND", "https://app.example.com/", "", "what nginx sends"},
		{headers("X-Original-Url: HTTPS://App.Example.COM:443/A"), "", "https://app.example.com/A", "", "scheme, host and port are canonical"},
		{headers("X-Original-Url: http://[::1]:8090/"), "", "http://[::1]:8090/", "", "an address"},
		{headers("X-Original-Url: https://a.example//evil.com/x"), "", "https://a.example//evil.com/x", "", "a path with two slashes is a path"},
		{headers("X-Original-Url: https://a.example/%2f%2e?%zz=\\"), "", "https://a.example/%2f%2e?%zz=\\", "", "path and query as they were sent"},
		{headers("X-Original-Url: https://a.example/%2f|é"), "", "https://a.example/%2f%7C%C3%A9", "", "encoded where net/url would, and only there"},
		{headers("X-Original-Url: https://a.example/", "X-Original-Url: https://a.example/"), "", "https://a.example/", "", "said twice"},
		{headers("X-Original-Url: https://a.example/", "X-Forwarded-Proto: http", "X-Forwarded-Host: b.example", "X-Forwarded-For: 192.0.2.1"), "", "https://a.example/", "", "a load balancer before nginx"},

		{headers("X-Original-Url: https://a.example/", "X-Original-Url: https://a.example/b"), "", "", "X-Original-Url: repeated with another value", "two answers"},
		{headers("X-Original-Method: GET", "X-Original-Url: a b"), "", "", "X-Original-Url: a space or control character", "a refusal says nothing else, not even the method"},
		{headers("X-Original-Method: GET", "X-Original-Method: POST"), "", "", "X-Original-Method: repeated with another value", "two answers"},
		{headers("X-Original-Url: https://a.example/", "X-Forwarded-Uri: /b"), "", "", "X-Forwarded-Uri: " + other, "two families"},
		{headers("X-Forwarded-Method: GET"), "", "", "X-Forwarded-Method: " + other, "two families"},
		{headers("X_Original_URL: https://a.example/"), "", "", "X-Original-Url: written with underscores", "only an attacker writes it so"},
		{headers("X-Forwarded_host: a.example"), "", "", "X-Forwarded-Host: written with underscores", "in the other family, too"},
		{headers("X-Original-Url: "), "", "", form, "empty is not none: something went wrong"},
		{headers("X-Original-Url: /a"), "", "", form, "no host"},
		{headers("X-Original-Url: https://a.example"), "", "", "X-Original-Url: the path must begin with a slash", "a request has a path"},
		{headers("X-Original-Url: https://a.example?b"), "", "", badHost + `: "https://a.example"`, "a request has a path"},
		{headers("X-Original-Url: https:///a"), "", "", badHost + `: "https://"`, "no host"},
		{headers("X-Original-Url: ftp://a.example/"), "", "", `X-Original-Url: the scheme must be http or https: "ftp://a.example"`, "another scheme"},
		{headers("X-Original-Url: javascript://a.example/%0aalert(1)"), "", "", `X-Original-Url: the scheme must be http or https: "javascript://a.example"`, "another scheme"},
		{headers("X-Original-Url: https://user:secret@a.example/"), "", "", "X-Original-Url: the port must be a number from 1 to 65535", "a password is not repeated in the error"},
		{headers("X-Original-Url: https://u@a.example/"), "", "", badHost, "a Host header with a user"},
		{headers("X-Original-Url: https://a.example?secret=1/"), "", "", badHost + `: "https://a.example"`, "a query is not repeated in the error"},
		{headers("X-Original-Url: https://a.example:80:80/"), "", "", `X-Original-Url: the port must be a number from 1 to 65535: "https://a.example:80:80"`, "two ports"},
		{headers("X-Original-Url: https://a%2eexample/"), "", "", badHost + `: "https://a%2eexample"`, "an encoded host"},
		{headers("X-Original-Url: https://*/"), "", "", badHost + `: "https://*"`, "no host"},
		{headers(`X-Original-URL: https://a.example\@b.example/`), "", "", badHost, "two hosts"},
		{headers("X-Original-Url: https://a.example/a#b"), "", "", "X-Original-Url: it has a fragment", "no client sends one"},
		{headers("X-Original-Url: https://a.example/?a#b"), "", "", "X-Original-Url: it has a fragment", "not in the query either"},
		{headers(`X-Original-URL: https://a.example/a\..\b`), "", "", "X-Original-Url: a backslash in the path", "a slash to some"},
		{headers("X-Original-Url: https://a.example/%zz?secret"), "", "", "X-Original-Url: a bad percent escape in the path", "parsers differ"},
		{headers("X-Original-Url: https://a.example/a b"), "", "", "X-Original-Url: a space or control character", "no client sends one"},
		{headers("X-Original-Url: https://a.example/\r\nA: b"), "", "", "X-Original-Url: a space or control character", "nor this"},
		{headers("X-Original-Url: https://a.example/" + strings.Repeat("a", maxURL)), "", "", "X-Original-Url: longer than 8192 bytes", "too long"},
		{headers("X-Original-Method: get"), "", "", `X-Original-Method: not a method in capital letters: "get"`, "methods know case"},
		{headers("X-Original-Method: "), "", "", `X-Original-Method: not a method in capital letters: ""`, "empty is not none"},
		{headers("X-Original-Method: GET?secret"), "", "", `X-Original-Method: not a method in capital letters: "GET"`, "not a token"},
		{headers("X-Original-Method: " + strings.Repeat("A", 33)), "", "", `X-Original-Method: not a method in capital letters: "` + strings.Repeat("A", 33) + `"`, "too long"},
	})
}

func TestOriginalFromForwarded(t *testing.T) {
	const proto, host, uri = "X-Forwarded-Proto: https", "X-Forwarded-Host: app.example.com", "X-Forwarded-Uri: /a?b=c"
	const other = "it belongs to the other kind of proxy; use the endpoint made for yours"
	const badHost = "X-Forwarded-Host: not a host name or IP address; write app.example.com, 192.0.2.1 or [2001:db8::1]"
	testForwarded(t, originalFromForwarded, []forwardedRow{
		{headers(proto, host, uri, "X-Forwarded-Method: POST"), "POST", "https://app.example.com/a?b=c", "", "what Traefik and Caddy send"},
		{headers(proto, host, uri), "", "https://app.example.com/a?b=c", "", "the method is optional"},
		{headers(proto, proto, host, host, uri, uri), "", "https://app.example.com/a?b=c", "", "said twice"},
		{headers("X-Forwarded-Proto: HTTP", "X-Forwarded-Host: APP.example.com:80", uri), "", "http://app.example.com/a?b=c", "", "scheme, host and port are canonical"},
		{headers("X-Forwarded-Proto: wss", host, uri), "", "https://app.example.com/a?b=c", "", "how Traefik calls a WebSocket's handshake"},
		{headers("X-Forwarded-Proto: ws", host, uri), "", "http://app.example.com/a?b=c", "", "and without TLS"},
		{headers(proto, host, "X-Forwarded-Uri: //evil.com/x"), "", "https://app.example.com//evil.com/x", "", "a path on that host"},
		{headers(proto, host, "X-Forwarded-Uri: /https://evil.com/@x,y"), "", "https://app.example.com/https://evil.com/@x,y", "", "likewise; a comma is no list here"},
		{headers(proto, host, "X-Forwarded-Uri: /?"), "", "https://app.example.com/?", "", "an empty query"},
		{headers(proto, "X-Forwarded-Host: my_app:8080", uri), "", "https://my_app:8080/a?b=c", "", "names as containers have them"},

		{headers(host, uri), "", "", "X-Forwarded-Proto: missing", "a client can have it dropped"},
		{headers(proto, uri), "", "", "X-Forwarded-Host: missing", "a client can have it dropped"},
		{headers(proto, host), "", "", "X-Forwarded-Uri: missing", "a client can have it dropped"},
		{headers(), "", "", "X-Forwarded-Proto: missing", "not even asked through a proxy"},
		{headers(proto, "X-Forwarded-Proto: http", host, uri), "", "", "X-Forwarded-Proto: repeated with another value", "two answers"},
		{headers(proto, host, "X-Forwarded-Host: b.example", uri), "", "", "X-Forwarded-Host: repeated with another value", "two answers"},
		{headers(proto, host, uri, "X-Forwarded-Uri: /"), "", "", "X-Forwarded-Uri: repeated with another value", "two answers"},
		{headers("X-Forwarded-Proto: https,http", host, uri), "", "", `X-Forwarded-Proto: more than one value: "https,http"`, "two answers"},
		{headers(proto, "X-Forwarded-Host: a.example,b.example", uri), "", "", `X-Forwarded-Host: more than one value: "a.example,b.example"`, "two answers"},
		{headers(proto, host, uri, "X-Original-Url: https://a.example/"), "", "", "X-Original-Url: " + other, "two families"},
		{headers(proto, host, uri, "X-Original-Method: GET"), "", "", "X-Original-Method: " + other, "two families"},
		{headers(proto, host, uri, "X_Forwarded_Uri: /"), "", "", "X-Forwarded-Uri: written with underscores", "only an attacker writes it so"},
		{headers(proto, host, uri, "X-Original_Url: /"), "", "", "X-Original-Url: written with underscores", "in the other family, too"},
		{headers("X-Forwarded-Proto: ", host, uri), "", "", `X-Forwarded-Proto: the scheme must be http or https: ""`, "empty"},
		{headers("X-Forwarded-Proto: https:", host, uri), "", "", `X-Forwarded-Proto: the scheme must be http or https: "https:"`, "not a scheme"},
		{headers("X-Forwarded-Proto: file", host, uri), "", "", `X-Forwarded-Proto: the scheme must be http or https: "file"`, "another scheme"},
		{headers(proto, "X-Forwarded-Host: ", uri), "", "", badHost + `: ""`, "empty"},
		{headers(proto, "X-Forwarded-Host: user@app.example.com", uri), "", "", badHost, "a user"},
		{headers(proto, "X-Forwarded-Host: app.example.com/evil", uri), "", "", badHost + `: "app.example.com/evil"`, "a path"},
		{headers(proto, "X-Forwarded-Host: app.example.com#", uri), "", "", badHost + `: "app.example.com"`, "a fragment"},
		{headers(proto, "X-Forwarded-Host: app.example.com:8o", uri), "", "", `X-Forwarded-Host: the port must be a number from 1 to 65535: "app.example.com:8o"`, "not a port"},
		{headers(proto, "X-Forwarded-Host: "+strings.Repeat("a", 64), uri), "", "", badHost + `: "` + strings.Repeat("a", 40) + `..."`, "a label that is too long"},
		{headers(proto, "X-Forwarded-Host: \xcd0", uri), "", "", badHost + `: "\xcd0"`, "not UTF-8, of which IDNA makes a name that no one else reads"},
		{headers(proto, "X-Forwarded-Host: 127.1", uri), "", "", badHost + `: "127.1"`, "browsers and we differ on it"},
		{headers(proto, host, "X-Forwarded-Uri: "), "", "", "X-Forwarded-Uri: the path must begin with a slash", "empty"},
		{headers(proto, host, "X-Forwarded-Uri: a"), "", "", "X-Forwarded-Uri: the path must begin with a slash", "it would extend the host"},
		{headers(proto, host, "X-Forwarded-Uri: @evil.com/"), "", "", "X-Forwarded-Uri: the path must begin with a slash", "it would make the host a user"},
		{headers(proto, host, "X-Forwarded-Uri: https://evil.com/"), "", "", "X-Forwarded-Uri: the path must begin with a slash", "an absolute form"},
		{headers(proto, host, `X-Forwarded-Uri: /\evil.com`), "", "", "X-Forwarded-Uri: a backslash in the path", "a slash to some"},
		{headers(proto, host, "X-Forwarded-Uri: /a#b"), "", "", "X-Forwarded-Uri: it has a fragment", "no client sends one"},
		{headers(proto, host, "X-Forwarded-Uri: /%2?secret"), "", "", "X-Forwarded-Uri: a bad percent escape in the path", "parsers differ"},
		{headers(proto, host, "X-Forwarded-Uri: /a\tb"), "", "", "X-Forwarded-Uri: a space or control character", "browsers drop tabs"},
		{headers(proto, host, uri, "X-Forwarded-Method: GET,POST"), "", "", `X-Forwarded-Method: not a method in capital letters: "GET,POST"`, "two answers"},
	})
}

func TestTrustedPeer(t *testing.T) {
	trusted := []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fe80::/10"),
	}
	for _, row := range []struct {
		peer string
		want bool
		why  string
	}{
		{"10.1.2.3:4", true, "in a trusted network"},
		{"[::ffff:10.1.2.3]:4", true, "IPv4 as a listener on [::] sees it"},
		{"[::1]:4", true, "an address of its own"},
		{"[fe80::1%eth0]:4", true, "a zone says by which link, not who"},
		{"", true, "a unix socket"},
		{"@", true, "a unix socket of no name"},
		{"11.1.2.3:4", false, "in no trusted network"},
		{"[::ffff:11.1.2.3]:4", false, "likewise"},
		{"[::2]:4", false, "likewise"},
		{"10.1.2.3", false, "no port: not from net/http"},
		{"localhost:4", false, "no address"},
		{"@evil", false, "a peer that gave its socket a name is unusual"},
	} {
		if got := trustedPeer(row.peer, trusted); got != row.want {
			t.Errorf("trustedPeer(%q) = %v: %s", row.peer, got, row.why)
		}
	}
	if trustedPeer("127.0.0.1:4", nil) {
		t.Error("loopback is trusted without being asked for")
	}
}

// unambiguous fails unless everyone reads the URL of o alike and it asks for
// uri, bytes that a client sent, and nothing else.
func unambiguous(t *testing.T, o original, uri string) {
	t.Helper()
	u := o.URL()
	text := u.String()
	again, err := url.Parse(text)
	if err != nil {
		t.Fatalf("net/url does not read %q: %v", text, err)
	}
	if diff := cmp.Diff(u, again); diff != "" {
		t.Errorf("net/url reads %q as another URL: %s", text, diff)
	}
	browser, err := whatwg.Parse(text)
	if err != nil {
		t.Fatalf("a browser does not read %q: %v", text, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || browser.Scheme() != u.Scheme {
		t.Errorf("the scheme of %q is %q, in a browser %q", text, u.Scheme, browser.Scheme())
	}
	// An address such as ::ffff:192.0.2.1 has two notations. Both are of the
	// same 16 bytes, so a difference of spelling is none of host.
	if !sameHost(browser.Host(), u.Host) {
		t.Errorf("the host of %q is %q, in a browser %q", text, u.Host, browser.Host())
	}
	if u.User != nil || browser.Username() != "" || browser.Password() != "" || u.Fragment != "" || u.Opaque != "" {
		t.Errorf("%q has more than host, path and query", text)
	}

	path, query, hasQuery := strings.Cut(uri, "?")
	if want, err := url.PathUnescape(path); err != nil || u.Path != want {
		t.Errorf("%q asks for the path %q, the client for %q, %v", text, u.Path, path, err)
	}
	// Also encoded, path and query are the client's, but for the bytes that a
	// URL must not have.
	strict := func(r rune) bool { return r >= 0x7f || strings.ContainsRune("\"<>`{}|^", r) }
	if got := u.EscapedPath(); got != path && !strings.ContainsFunc(path, strict) {
		t.Errorf("%q has the path %q, the client sent %q", text, got, path)
	}
	if u.RawQuery != query && isASCII(query) || (u.ForceQuery || u.RawQuery != "") != hasQuery {
		t.Errorf("%q has the query %q, the client sent %q", text, u.RawQuery, query)
	}
}

func sameHost(a, b string) bool {
	if a == b {
		return true
	}
	return hostAddr(a).IsValid() && hostAddr(a) == hostAddr(b)
}

func hostAddr(host string) netip.AddrPort {
	u := url.URL{Host: host}
	port := u.Port()
	if port == "" {
		port = "0"
	}
	a, _ := netip.ParseAddrPort("[" + u.Hostname() + "]:" + port)
	return a
}

func FuzzForwardedURL(f *testing.F) {
	for _, host := range []string{
		"app.example.com", "APP.example.com.:443", "127.0.0.1:80", "[::1]:8090", "[::ffff:192.0.2.1]", "bücher.example",
		"u@a.example", "a.example/b", "a.example#", "a.example?", `a.example\`, "my_app:8080", "0x7f.1", "a,b", "a%2eb", "xn--a", "[::1%25lo]",
	} {
		f.Add("https", host, "/a?b=c", "GET")
	}
	for _, uri := range []string{
		"/", "//evil.com/x", "/%2f|é", "/%2F%2e?%zz", "/?", "/??", "/a#b", `/\evil.com`, `/?\`, "/%zz", "/..//evil.com", "/\xff?\xff", "@evil.com", "*", "/[a]^{b}`<c>\"",
		"/;a=b:c@d,e!f$g&h'i(j)k*l+m=n~o",
	} {
		f.Add("http", "app.example.com", uri, "POST")
	}
	for _, scheme := range []string{"HTTPS", "ftp", "wss", "https:", "", "javascript", "httpſ"} {
		f.Add(scheme, "app.example.com", "/", "")
	}
	for _, rd := range corpus(f) {
		f.Add("https", "app.example.com", rd, "GET")
	}
	f.Fuzz(func(t *testing.T, scheme, host, uri, method string) {
		check := func(o original, err error, uri string) {
			t.Helper()
			if err == nil {
				if o.Method != method {
					t.Errorf("the method is %q, the client's %q", o.Method, method)
				}
				unambiguous(t, o, uri)
				return
			}
			if !errors.Is(err, ErrForwarded) || o != (original{}) {
				t.Errorf("%v with %v", err, o)
			}
			if _, query, _ := strings.Cut(uri, "?"); len(query) > 8 && strings.Contains(err.Error(), query) &&
				!strings.Contains(scheme+host+method, query) {
				t.Errorf("the error holds the query string: %v", err)
			}
		}
		forwarded, err := originalFromForwarded(headers(
			"X-Forwarded-Proto: "+scheme, "X-Forwarded-Host: "+host, "X-Forwarded-Uri: "+uri, "X-Forwarded-Method: "+method))
		check(forwarded, err, uri)

		// Here the first slash after :// says what is host and what is uri.
		value := scheme + "://" + host + uri
		_, rest, _ := strings.Cut(value, "://")
		_, ownURI := cutBefore(rest, "/")
		fromURL, errURL := originalFromURL(headers("X-Original-Url: "+value, "X-Original-Method: "+method))
		check(fromURL, errURL, ownURI)

		if err == nil && errURL == nil {
			if forwarded != fromURL {
				t.Errorf("the two families read one request as %v and %v", forwarded, fromURL)
			}
		}
	})
}
