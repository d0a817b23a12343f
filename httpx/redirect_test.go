package httpx

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	whatwg "github.com/nlnwa/whatwg-url/url"
)

func mustReturns(t testing.TB, own string, hosts ...string) *Returns {
	t.Helper()
	u, err := url.Parse(own)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := NewReturns(u, hosts)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

var returnHosts = []string{
	"app.example.com", "app.example.com:8443", ".apps.example.org", ".dev.example.org:9000",
	"127.0.0.1:8090", "[::1]:8090", "bücher.example", "my_app.example.com",
}

// returnPolicy says with whom a browser may be talking when it has followed a
// location, in another way than Returns does: on what a browser made of it.
var returnPolicy = []struct {
	own   string
	allow func(u *whatwg.Url) bool
}{
	{"https://auth.example.com", func(u *whatwg.Url) bool {
		return u.Scheme() == "https" && (u.Host() == "auth.example.com" || allowedHost(u))
	}},
	{"http://127.0.0.1:8080", func(u *whatwg.Url) bool {
		return u.Scheme() == "http" && u.Host() == "127.0.0.1:8080" || allowedHost(u)
	}},
}

// allowedHost is returnHosts for URLs of the URL Standard, which have a port
// only if it is not the default one of their scheme, here http or https.
func allowedHost(u *whatwg.Url) bool {
	if u.Scheme() != "http" && u.Scheme() != "https" {
		return false
	}
	switch u.Host() {
	case "app.example.com", "app.example.com:8443", "127.0.0.1:8090", "[::1]:8090", "xn--bcher-kva.example", "my_app.example.com":
		return true
	}
	return strings.HasSuffix(u.Host(), ".apps.example.org") || strings.HasSuffix(u.Host(), ".dev.example.org:9000")
}

func TestReturnPolicy(t *testing.T) {
	const own = "https://auth.example.com"
	long := strings.Repeat("a", maxURL)
	for _, row := range []struct {
		rd, want, why string // want is empty where rd is not followed
	}{
		{"/", "/", "a path is on the service's own host"},
		{"/show?a=1&b=%20#top", "/show?a=1&b=%20#top", "query and fragment stay"},
		{"/a?", "/a?", "an empty query stays"},
		{"/a?next=//evil.com", "/a?next=//evil.com", "in a query it is data"},
		{"/a b/é?q=ü 'x'#<z>", "/a%20b/%C3%A9?q=%C3%BC%20%27x%27#%3Cz%3E", "written as the browser would write it"},
		{"/a%2fé", "/a%2f%C3%A9", "an encoded slash stays encoded where something else has to be encoded"},
		{"/a//b", "/a//b", "an empty segment further on leads nowhere else"},
		{"/;@evil.com", "/;@evil.com", "an @ after the first slash is a path"},
		{"/https://evil.com", "/https://evil.com", "so is a scheme"},
		{"https://auth.example.com/show", "https://auth.example.com/show", "the own origin"},
		{"https://auth.example.com:443/show", "https://auth.example.com/show", "the default port is no other origin"},
		{"https://app.example.com", "https://app.example.com/", "an allowed host"},
		{"https://app.example.com?a#b", "https://app.example.com/?a#b", "the path is written even where it was not"},
		{"HTTPS://APP.Example.COM/A", "https://app.example.com/A", "scheme and host know no case, a path does"},
		{"https://app.example.com./a", "https://app.example.com/a", "the root's dot names the same host"},
		{"https://app。example。com/a", "https://app.example.com/a", "so do the dots of IDNA"},
		{"https://app.example.com:8443/a", "https://app.example.com:8443/a", "an allowed port"},
		{"https://app.example.com//evil.com", "https://app.example.com//evil.com", "after a host, slashes are a path"},
		{"https://x.apps.example.org/", "https://x.apps.example.org/", "a sub-domain"},
		{"https://x.y.apps.example.org/", "https://x.y.apps.example.org/", "a deeper one"},
		{"https://x.dev.example.org:9000/", "https://x.dev.example.org:9000/", "a sub-domain on an allowed port"},
		{"https://127.0.0.1:8090/", "https://127.0.0.1:8090/", "an allowed address"},
		{"https://[0:0::1]:8090/", "https://[::1]:8090/", "an IPv6 address in another notation"},
		{"https://bücher.example/", "https://xn--bcher-kva.example/", "a name in Unicode is written in ASCII"},
		{"https://XN--BCHER-KVA.example/", "https://xn--bcher-kva.example/", "and is the same in ASCII"},
		{"https://my_app.example.com/", "https://my_app.example.com/", "browsers go to names with underscores"},

		{"", "", "nothing asked"},
		{"/" + long, "", "longer than 8192 bytes"},
		{"/" + strings.Repeat(" ", maxURL/2), "", "longer than 8192 bytes when written"},
		{"//evil.com", "", "a network-path reference is another host"},
		{"///evil.com", "", "browsers skip slashes"},
		{`/\evil.com`, "", "browsers read a backslash as a slash"},
		{`\\evil.com`, "", "also in front"},
		{`https://evil.com\@app.example.com/`, "", "to browsers the host ends at the backslash"},
		{`/a?b=\`, "", "harmless, but no backslash has to be looked at twice"},
		{"/\t/evil.com", "", "browsers drop tabs"},
		{"/\n/evil.com", "", "and newlines"},
		{"/a\r\nSet-Cookie: a=b", "", "a header of its own"},
		{"/a\x00", "", "control characters"},
		{"/a\x7f", "", "control characters"},
		{"/a\u0085", "", "control characters"},
		{" /a", "", "browsers cut spaces at the ends"},
		{" https://app.example.com/", "", "browsers cut spaces at the ends"},
		{"/a ", "", "browsers cut spaces at the ends"},
		{"/\xff", "", "not UTF-8: everyone guesses differently"},
		{"a", "", "relative to a page that is not the one you come from"},
		{"?a", "", "likewise"},
		{"#a", "", "likewise"},
		{"../a", "", "likewise"},
		{"/..//evil.com", "", "resolved it begins with two slashes"},
		{"/.//evil.com", "", "likewise"},
		{"/%2e%2e//evil.com", "", "browsers resolve encoded dots"},
		{"/.%2E//evil.com", "", "half encoded ones, too"},
		{"/a/../../b", "", "the path would not be the one we saw"},
		{"https://app.example.com/..", "", "nor on an allowed host"},
		{"/%2fevil.com", "", "two slashes for whoever decodes it on the way"},
		{"/%5cevil.com", "", "a backslash for them"},
		{"/%09/evil.com", "", "a tab for them"},
		{"/%0d%0aa:b", "", "a header for them"},
		{"/%zz", "", "a percent sign that encodes nothing"},
		{"/%", "", "likewise"},
		{"https://evil.com/", "", "not an allowed host"},
		{"https://app.example.com.evil.com/", "", "an allowed host is not a prefix"},
		{"https://evil-app.example.com/", "", "nor a suffix"},
		{"https://apps.example.org/", "", "sub-domains do not mean the domain itself"},
		{"https://evilapps.example.org/", "", "nor a name that ends alike"},
		{"https://.apps.example.org/", "", "nor one with nothing before the dot"},
		{"https://x.apps.example.org:444/", "", "nor another port"},
		{"https://x.dev.example.org/", "", "an explicit port means that one only"},
		{"https://app.example.com:8444/", "", "a port that is not allowed"},
		{"https://127.0.0.1/", "", "a port that is not allowed"},
		{"https://127.1:8090/", "", "an address that is not in the usual notation"},
		{"https://0x7f.0.0.1:8090/", "", "likewise"},
		{"https://2130706433:8090/", "", "likewise"},
		{"https://127.0.0.1.:8090/a", "https://127.0.0.1:8090/a", "the root's dot is dropped from addresses, too"},
		{"https://[::1%25lo]:8090/", "", "an IPv6 zone"},
		{"https://[::1/", "", "half a bracket"},
		{"https://::1:8090/", "", "no bracket"},
		{"https://app.example.com../", "", "two dots"},
		{"https://app%2eexample.com/", "", "a percent sign in the host"},
		{"https://app.example.com:/", "", "an empty port"},
		{"https://app.example.com:0443/", "", "a port with a zero in front"},
		{"https://app.example.com:65979/", "", "65979 is 443 in 16 bits"},
		{"https://app.example.com:+443/", "", "a signed port"},
		{"https://app.example.com:8443:443/", "", "two ports"},
		{"https://" + strings.Repeat("a.", 200) + "apps.example.org/", "", "a longer name than there can be"},
		{"https://" + strings.Repeat("ü", 2000) + ".apps.example.org/", "", "work for Punycode"},
		{"https://user@app.example.com/", "", "a user"},
		{"https://@app.example.com/", "", "an empty user"},
		{"https://app.example.com@evil.com/", "", "an allowed host as the user"},
		{"https://evil.com#@app.example.com/", "", "the host ends at #"},
		{"https://evil.com?@app.example.com/", "", "and at ?"},
		{"https:app.example.com", "", "browsers and servers differ on what this is"},
		{"https:/app.example.com", "", "likewise"},
		{"https:///app.example.com", "", "likewise"},
		{"https://", "", "no host"},
		{"http://app.example.com/", "", "a Secure cookie does not go there"},
		{"http://auth.example.com/", "", "nor to the own host in clear text"},
		{"httpſ://app.example.com/", "", "a scheme that only folds to https"},
		{"javascript:alert(1)", "", "no other scheme"},
		{"javascript://app.example.com/%0aalert(1)", "", "not even with an allowed host"},
		{"data:text/html,a", "", "no other scheme"},
		{"ftp://app.example.com/", "", "no other scheme"},
	} {
		rs := mustReturns(t, own, returnHosts...)
		got, ok := rs.Safe(row.rd)
		if got != row.want || ok != (row.want != "") {
			t.Errorf("Safe(%.80q) = %.80q, %v, want %q: %s", row.rd, got, ok, row.want, row.why)
		}
	}
}

func TestReturnPolicyWithoutTLS(t *testing.T) {
	rs := mustReturns(t, "http://127.0.0.1:8080", "app.example.com", "app.example.com:443")
	for _, row := range []struct {
		rd, want, why string
	}{
		{"http://127.0.0.1:8080/show", "http://127.0.0.1:8080/show", "the own origin"},
		{"http://app.example.com:80/", "http://app.example.com/", "port 80 is the default of http"},
		{"https://app.example.com/", "https://app.example.com/", "there is no downgrade from http"},
		{"http://app.example.com:443/", "http://app.example.com:443/", "an entry with a port means it with any scheme"},
		{"https://127.0.0.1:8080/show", "", "another scheme is another origin"},
		{"http://localhost:8080/show", "", "another name is another origin"},
	} {
		got, ok := rs.Safe(row.rd)
		if got != row.want || ok != (row.want != "") {
			t.Errorf("Safe(%.200q) = %.200q, %v, want %q: %s", row.rd, got, ok, row.want, row.why)
		}
	}
}

func TestReturnHostErrors(t *testing.T) {
	own := &url.URL{Scheme: "https", Host: "auth.example.com"}
	_, err := NewReturns(own, []string{
		"app.example.com", " b.example.com ", "",
		"https://app.example.com:8443/x", "app.example.com/x", "user@app.example.com", "*.example.com", "app*.example.com",
		"app..example.com", ".", "..", ".com", ".com.", ".127.0.0.1", "::1", "[::1%25lo]", "app.example.com:", "app.example.com:https", "app.example.com:0443",
		"app example.com", "127.1", "0x7f000001", "app.example.com,b.example.com",
	})
	if err == nil {
		t.Fatal("no error")
	}
	const host = "not a host name or IP address; write app.example.com, 192.0.2.1 or [2001:db8::1]"
	want := []string{
		`return host "": empty; remove the extra comma`,
		`return host "https://app.example.com:8443/x": it has a scheme; write "app.example.com:8443", which allows the schemes that are safe`,
		`return host "app.example.com/x": it has a path, and hosts are allowed as a whole; write "app.example.com"`,
		`return host "user@app.example.com": it has a user; write "app.example.com"`,
		`return host "*.example.com": sub-domains are written without a star; write ".example.com"`,
		`return host "app*.example.com": it has a wildcard; write each host, or .example.com for all sub-domains of example.com`,
		`return host "app..example.com": ` + host,
		`return host ".": ` + host,
		`return host "..": ` + host,
		`return host ".com": it allows a whole top-level domain; write each host, or .example.com for all sub-domains of example.com`,
		`return host ".com.": it allows a whole top-level domain; write each host, or .example.com for all sub-domains of example.com`,
		`return host ".127.0.0.1": an address has no sub-domains; write "127.0.0.1"`,
		`return host "::1": an IPv6 address needs brackets; write "[::1]"`,
		`return host "[::1%25lo]": ` + host,
		`return host "app.example.com:": the port must be a number from 1 to 65535`,
		`return host "app.example.com:https": the port must be a number from 1 to 65535`,
		`return host "app.example.com:0443": the port must be a number from 1 to 65535`,
		`return host "app example.com": ` + host,
		`return host "127.1": ` + host,
		`return host "0x7f000001": ` + host,
		`return host "app.example.com,b.example.com": ` + host,
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestReturnsOwnOrigin(t *testing.T) {
	for _, own := range []*url.URL{{}, {Scheme: "https"}, {Scheme: "ftp", Host: "a.example"}, {Scheme: "https", Host: "a.example:x"}} {
		if _, err := NewReturns(own, nil); err == nil {
			t.Errorf("%v is taken for an origin", own)
		}
	}
}

// followed fails unless a browser that is sent where rs says goes to a host of
// the policy, and to the same place as rd itself would have led it. It judges
// by the URL Standard's own algorithm, not by the text.
func followed(t *testing.T, rs *Returns, own string, allow func(*whatwg.Url) bool, rd string) (ok bool) {
	t.Helper()
	location, ok := rs.Safe(rd)
	if !ok {
		if location != "" {
			t.Errorf("Safe(%.200q) refuses but returns %.200q", rd, location)
		}
		return false
	}
	// A page deep in the service: a relative reference would not get past.
	base := own + "/a/b/login?rd=x#y"
	to, err := whatwg.ParseRef(base, location)
	if err != nil {
		t.Fatalf("Safe(%.200q) = %.200q, which a browser cannot read: %v", rd, location, err)
	}
	if !allow(to) || to.Username() != "" || to.Password() != "" {
		t.Errorf("Safe(%.200q) = %.200q, which leads a browser to %s", rd, location, to.Href(false))
	}
	raw, err := whatwg.ParseRef(base, rd)
	if err != nil {
		t.Fatalf("Safe(%.200q) = %.200q, but a browser cannot read rd: %v", rd, location, err)
	}
	// The one difference that is meant: Location leaves out the dot of the DNS
	// root. A browser would keep it and come to the same machine by a name that
	// cookies and certificates do not know; we send it to the allowed name.
	raw.SetHostname(strings.TrimSuffix(raw.Hostname(), "."))
	if raw.Href(false) != to.Href(false) {
		t.Errorf("Safe(%.200q) = %.200q: a browser would go to %s and is sent to %s", rd, location, raw.Href(false), to.Href(false))
	}
	if strings.HasPrefix(rd, "/") != strings.HasPrefix(location, "/") {
		t.Errorf("Safe(%.200q) = %.200q: a path and a URL turn into each other", rd, location)
	}
	if strings.ContainsFunc(location, func(r rune) bool { return r <= ' ' || r >= 0x7f }) || len(location) > maxURL {
		t.Errorf("Safe(%.200q) = %.200q does not fit in a header", rd, location)
	}
	if again, ok := rs.Safe(location); !ok || again != location {
		t.Errorf("Safe(%.200q) = %.200q, and of that it is %q, %v", rd, location, again, ok)
	}
	// Clients in Go must not read it otherwise, if they can read it. They leave
	// default ports and IPv4 in IPv6 as they are, but location has neither.
	page, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := page.Parse(location); err == nil && u.Host != to.Host() {
		t.Errorf("Safe(%.200q) = %.200q: net/url goes to %s, a browser to %s", rd, location, u.Host, to.Host())
	}
	return true
}

func corpus(t testing.TB) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/openredirect/dev-set.txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

func TestReturnCorpus(t *testing.T) {
	lines := corpus(t)
	if len(lines) != 283 {
		t.Fatalf("%d lines, want 283", len(lines))
	}
	// Each is a path or a query, whatever it reminds one of.
	want := []string{
		"/%68%74%74%70%3a%2f%2f%67%6f%6f%67%6c%65%2e%63%6f%6d",
		"/<>//example.com",
		"/?url=//example.com&next=//example.com&redirect=//example.com&redir=//example.com&rurl=//example.com&redirect_uri=//example.com",
		"/?url=Https://example.com&next=Https://example.com&redirect=Https://example.com&redir=Https://example.com&rurl=Https://example.com&redirect_uri=Https://example.com",
		"/http://%67%6f%6f%67%6c%65%2e%63%6f%6d",
		"/http://example.com",
		"/https://example.com",
		"/https://example.com/",
		"/https://example.com//",
		"/https://google.com/",
		"/https://www.whitelisteddomain.tld@google.com/",
		"/redirect?url=//example.com&next=//example.com&redirect=//example.com&redir=//example.com&rurl=//example.com&redirect_uri=//example.com",
		"/redirect?url=Https://example.com&next=Https://example.com&redirect=Https://example.com&redir=Https://example.com&rurl=Https://example.com&redirect_uri=Https://example.com",
	}
	for _, p := range returnPolicy {
		rs := mustReturns(t, p.own, returnHosts...)
		var got []string
		for _, rd := range lines {
			if followed(t, rs, p.own, p.allow, rd) {
				got = append(got, rd)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s follows other lines: -want +got:\n%s", p.own, diff)
		}
	}
}

func FuzzReturnURL(f *testing.F) {
	for _, rd := range corpus(f) {
		f.Add(rd)
		// The same attack with hosts that are allowed, so that it gets further.
		f.Add(strings.NewReplacer("www.whitelisteddomain.tld", "app.example.com", "example.com", "x.apps.example.org").Replace(rd))
	}
	for _, rd := range []string{
		"https://app.example.com./", "https://[::1]:8090/", "https://x.bücher.apps.example.org/", "http://app.example.com:80?a#b",
		"https://x.apps.example.org:443/%2F é?é'\"<>#é`", "https://127.0.0.1:8090", "https://faß.apps.example.org",
		"https://a_b.dev.example.org:9000/", "/a|b^c{d}[e]", "/a?%zz", "https://xn--.apps.example.org/", "https://a--b.apps.example.org/",
		"https://ａ.apps.example.org/", "https://\u00ad.apps.example.org/", "https://app。example。com/",
	} {
		f.Add(rd)
	}
	returns := make([]*Returns, len(returnPolicy))
	for i, p := range returnPolicy {
		returns[i] = mustReturns(f, p.own, returnHosts...)
	}
	f.Fuzz(func(t *testing.T, rd string) {
		// Alone, hardly any input gets as far as being followed.
		for _, rd := range []string{rd, "/" + rd, "https://app.example.com" + rd, "https://" + rd + ".apps.example.org/"} {
			for i, p := range returnPolicy {
				followed(t, returns[i], p.own, p.allow, rd)
			}
		}
	})
}
