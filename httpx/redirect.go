package httpx

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxURL bounds a return URL, as read and as written, and the URLs that a
// proxy forwards.
const maxURL = 8192

// Returns knows where a browser may be sent after sign-in: to the service's own
// origin and to the hosts that the operator named.
type Returns struct {
	own   origin
	hosts []returnHost
}

// NewReturns takes the service's own origin, of which it reads scheme and
// host, and the hosts that are allowed beside it: app.example.com or
// .example.com for every sub-domain of it but not itself, each with the port
// when it is not the default one of the URL's scheme. The error names every
// bad entry and what to write instead.
func NewReturns(own *url.URL, hosts []string) (*Returns, error) {
	var errs []error
	o, err := parseOrigin(own.Scheme, own.Host)
	if err != nil {
		errs = append(errs, fmt.Errorf("own origin %q: %w", own.Scheme+"://"+own.Host, err))
	}
	rs := &Returns{own: o}
	for _, entry := range hosts {
		h, err := parseReturnHost(strings.TrimSpace(entry))
		if err != nil {
			errs = append(errs, fmt.Errorf("return host %q: %w", entry, err))
			continue
		}
		rs.hosts = append(rs.hosts, h)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return rs, nil
}

// Safe returns the URL to write into Location for rd, or false if rd is not to
// be followed.
//
// It reads rd once, decides on the canonical host, and returns that reading
// written out anew, so that a browser has nothing left to interpret: what a
// check saw and where a browser goes are the same text. What two parsers are
// known to read in two ways is refused, not repaired. The result is plain
// ASCII and must reach Location as it is: http.Redirect would clean its path.
//
// A path stays a path, so that it leads back to whichever replica answered.
func (rs *Returns) Safe(rd string) (location string, ok bool) {
	if rd == "" || len(rd) > maxURL || !utf8.ValidString(rd) {
		return "", false
	}
	// Browsers drop tabs and newlines wherever they stand, cut control
	// characters and spaces from both ends, and read a backslash as a slash:
	// "/\evil.com" and "/<tab>/evil.com" are "//evil.com" to them. (With a space
	// in front, rd is neither a path nor of a scheme below.)
	if strings.ContainsFunc(rd, misread) || strings.HasSuffix(rd, " ") {
		return "", false
	}

	path, fragment := cutBefore(rd, "#")
	path, query := cutBefore(path, "?")
	var prefix string
	if !strings.HasPrefix(path, "/") {
		// The two slashes are asked for because browsers do not: to them
		// https:evil.com, https:/evil.com and https:///evil.com are a host.
		scheme, rest, _ := strings.Cut(path, "://")
		var authority string
		authority, path = cutBefore(rest, "/")
		o, err := parseOrigin(scheme, authority)
		if err != nil || !rs.allow(o) {
			return "", false
		}
		prefix = o.String()
		if path == "" {
			path = "/"
		}
	}

	// The path is judged as it reads decoded, because something on the way may
	// decode it once: then "/%2fevil.com" is another host and "/%09/evil.com"
	// too. Dot segments, which browsers resolve also where they are written
	// %2e, would make the path another one than we saw: "/..//evil.com" turns
	// into "//evil.com". No browser sends them, so nothing is lost.
	decoded, err := url.PathUnescape(path)
	if err != nil || strings.ContainsFunc(decoded, misread) {
		return "", false
	}
	if prefix == "" && strings.HasPrefix(decoded, "//") {
		return "", false
	}
	for segment := range strings.SplitSeq(decoded, "/") {
		if segment == "." || segment == ".." {
			return "", false
		}
	}

	// The percent-encode sets of the URL Standard for path, query and fragment.
	location = prefix + percentEncode(path, "\"<>`{}") + percentEncode(query, "\"<>'") + percentEncode(fragment, "\"<>`")
	if len(location) > maxURL {
		return "", false
	}
	return location, true
}

func misread(r rune) bool { return r == '\\' || unicode.IsControl(r) }

func (rs *Returns) allow(o origin) bool {
	// The session cookie is Secure then: it would not go there, and the user
	// would be sent round in circles, in clear text.
	if rs.own.scheme == "https" && o.scheme == "http" {
		return false
	}
	if o == rs.own {
		return true
	}
	for _, h := range rs.hosts {
		if h.matches(o) {
			return true
		}
	}
	return false
}

// returnHost is an entry of the allow list.
type returnHost struct {
	name string // canonical; with a leading dot it stands for all sub-domains
	port string // empty for the default port of the URL's scheme
}

func (h returnHost) matches(o origin) bool {
	port := h.port
	if port == "" {
		port = defaultPort(o.scheme)
	}
	if o.port != port {
		return false
	}
	if strings.HasPrefix(h.name, ".") {
		// The dot belongs to the suffix, else evilexample.com would be a
		// sub-domain of example.com (oauth2-proxy CVE-2021-21291). A canonical
		// host never begins with a dot, so a label stands before this one.
		return strings.HasSuffix(o.host, h.name)
	}
	return o.host == h.name
}

// parseReturnHost is strict: an entry that means something else than it seems
// to would open a redirect for as long as nobody looks.
func parseReturnHost(entry string) (returnHost, error) {
	if entry == "" {
		return returnHost{}, errors.New("empty; remove the extra comma")
	}
	if _, rest, ok := strings.Cut(entry, "://"); ok {
		host, _ := cutBefore(rest, "/?#")
		return returnHost{}, fmt.Errorf("it has a scheme; write %q, which allows the schemes that are safe", host)
	}
	if host, rest := cutBefore(entry, "/?#\\"); rest != "" {
		return returnHost{}, fmt.Errorf("it has a path, and hosts are allowed as a whole; write %q", host)
	}
	if i := strings.LastIndex(entry, "@"); i >= 0 {
		return returnHost{}, fmt.Errorf("it has a user; write %q", entry[i+1:])
	}
	if strings.HasPrefix(entry, "*.") {
		return returnHost{}, fmt.Errorf("sub-domains are written without a star; write %q", entry[1:])
	}
	if strings.Contains(entry, "*") {
		return returnHost{}, errors.New("it has a wildcard; write each host, or .example.com for all sub-domains of example.com")
	}
	if a, err := netip.ParseAddr(entry); err == nil && a.Is6() {
		return returnHost{}, fmt.Errorf("an IPv6 address needs brackets; write %q", "["+entry+"]")
	}

	host, port, err := splitPort(entry)
	if err != nil {
		return returnHost{}, err
	}
	domain, sub := strings.CutPrefix(host, ".")
	name, err := canonicalHost(domain)
	if err != nil {
		return returnHost{}, err
	}
	if !sub {
		return returnHost{name, port}, nil
	}
	// Everybody can have a name below .com. Longer public suffixes, as .co.uk
	// or .github.io, are not known here: they are the operator's to avoid.
	if !strings.Contains(name, ".") {
		return returnHost{}, errors.New("it allows a whole top-level domain; write each host, or .example.com for all sub-domains of example.com")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return returnHost{}, fmt.Errorf("an address has no sub-domains; write %q", entry[1:])
	}
	return returnHost{"." + name, port}, nil
}

// origin is a scheme, host and port in canonical form, to be compared with ==.
type origin struct {
	scheme string // http or https
	host   string // as canonicalHost writes it
	port   string // never empty
}

func (o origin) String() string {
	if o.port == defaultPort(o.scheme) {
		return o.scheme + "://" + o.host
	}
	return o.scheme + "://" + o.host + ":" + o.port
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

var (
	errScheme = errors.New("the scheme must be http or https")
	errHost   = errors.New("not a host name or IP address; write app.example.com, 192.0.2.1 or [2001:db8::1]")
	errPort   = errors.New("the port must be a number from 1 to 65535")
)

// parseOrigin canonicalises what stands on both sides of the :// of a URL. Its
// errors do not quote the input, which may hold a password.
func parseOrigin(scheme, authority string) (origin, error) {
	// Not EqualFold, to which "httpſ" is "https".
	scheme = strings.ToLower(scheme)
	if scheme != "http" && scheme != "https" {
		return origin{}, errScheme
	}
	host, port, err := splitPort(authority)
	if err != nil {
		return origin{}, err
	}
	host, err = canonicalHost(host)
	if err != nil {
		return origin{}, err
	}
	if port == "" {
		port = defaultPort(scheme)
	}
	return origin{scheme, host, port}, nil
}

// splitPort cuts an authority without user into host, with its brackets if it
// is an IPv6 address, and port, which is empty if there is none.
func splitPort(authority string) (host, port string, err error) {
	host, port = cutBefore(authority, ":")
	if end := strings.LastIndex(authority, "]"); strings.HasPrefix(authority, "[") && end >= 0 {
		host, port = authority[:end+1], authority[end+1:]
	}
	if port == "" {
		return host, "", nil
	}
	// No leading zero and no empty port: browsers take them, nobody writes them.
	number, ok := strings.CutPrefix(port, ":")
	n, err := strconv.ParseUint(number, 10, 16)
	if !ok || err != nil || n == 0 || number[0] == '0' {
		return "", "", errPort
	}
	return host, number, nil
}

// canonicalHost returns the one form of a host that is compared and written:
// lower case, ASCII, without the dot of the DNS root, IP addresses in their
// usual notation. It refuses what browsers refuse and all that is not a name
// of letters, digits, hyphens and underscores: user, percent sign, IPv6 zone.
func canonicalHost(host string) (string, error) {
	if strings.HasPrefix(host, "[") {
		a, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
		if err != nil || !strings.HasSuffix(host, "]") || !a.Is6() || a.Zone() != "" {
			return "", errHost
		}
		return "[" + a.String() + "]", nil
	}
	// A name has at most 253 bytes, which as UTF-8 are no more than this. The
	// cost of Punycode grows with the square of the length.
	if len(host) > 4*253 {
		return "", errHost
	}
	name := host
	if isASCII(name) {
		name = strings.ToLower(name)
	}
	if !isASCII(name) || strings.Contains(name, "xn--") {
		var err error
		if name, err = idna.Lookup.ToASCII(name); err != nil {
			return "", errHost
		}
		// Whoever reads the name next must be able to, and read the same. The
		// package lets through bytes that are not UTF-8, as a name it refuses.
		if again, err := idna.Lookup.ToASCII(name); err != nil || again != name {
			return "", errHost
		}
	}
	// After IDNA, which makes dots of ideographic full stops. Location then
	// names the host without it, where cookies and certificates are valid.
	name = strings.TrimSuffix(name, ".")
	if len(name) > 253 {
		return "", errHost
	}
	var last string
	for label := range strings.SplitSeq(name, ".") {
		if !validLabel(label) {
			return "", errHost
		}
		last = label
	}
	// Browsers read a host that ends in a number as an IPv4 address, in parts
	// that may be missing, octal or hexadecimal: http://0x7f.1 is 127.0.0.1.
	// Only the usual notation means the same to all.
	if numeric(last) {
		a, err := netip.ParseAddr(name)
		if err != nil {
			return "", errHost
		}
		return a.String(), nil
	}
	return name, nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range []byte(label) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// numeric is the "ends in a number" rule of the URL Standard for a lower-case
// label that is not empty: decimal digits, or 0x and any hex digits.
func numeric(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// cutBefore cuts s before the first of the characters, which stays in after.
func cutBefore(s, chars string) (before, after string) {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// percentEncode encodes all that is not printable ASCII, space, and the
// characters in more, each byte for itself. Percent signs stay: s is encoded
// already where it was written so. This is net/url's escaping without its
// decoding first, in which "/%2fé" would become "//%C3%A9".
func percentEncode(s, more string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(more, c) >= 0 {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
