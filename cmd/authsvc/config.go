package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"golang.org/x/net/publicsuffix"

	"authsvc/httpx"
	"authsvc/token"
)

const prefix = "AUTHSVC_"

// config is the environment, read. This is the only place with its names; the
// help texts become docs/config.md.
type config struct {
	Listen      string  `env:"LISTEN" envDefault:"127.0.0.1:8080" help:"Address of the public listener: browsers and proxies."`
	AdminListen string  `env:"ADMIN_LISTEN" envDefault:"127.0.0.1:8081" help:"Address of the admin listener: /metrics, /healthz, /readyz. Not for the public."`
	BaseURL     baseURL `env:"BASE_URL" envDefault:"http://127.0.0.1:8080" help:"Where browsers reach the public listener: scheme, host, perhaps a port. https makes the cookie Secure."`

	Login          string `env:"LOGIN" help:"Who may sign in. \"htpasswd\": the users of AUTHSVC_HTPASSWD_FILE. \"name\": anyone, by name alone, for trying things out. Needed."`
	AllowNameLogin bool   `env:"ALLOW_NAME_LOGIN" help:"Allow AUTHSVC_LOGIN=name on an address that others can reach."`
	HtpasswdFile   string `env:"HTPASSWD_FILE" help:"Users and bcrypt hashes, as Apache's htpasswd -B writes them. Reloaded when it changes."`
	HtgroupFile    string `env:"HTGROUP_FILE" help:"Groups, in Apache's group format (\"admins: ann bob\"). Reloaded when it changes. Optional."`

	Secret      secret          `env:"SECRET" help:"The master secret: any string of at least 32 bytes, taken as it is. All replicas have the same. One of this and the next two is needed."`
	SecretFile  string          `env:"SECRET_FILE" help:"A file with the master secret; one newline at its end is not part of it. Read at start."`
	SecretsFile string          `env:"SECRETS_FILE" help:"A file with a line per secret, \"<RFC 3339 instant from which it signs> <secret>\", to change secrets without signing anyone out. Reloaded when it changes."`
	Alg         token.Algorithm `env:"ALG" envDefault:"EdDSA" help:"How sessions are signed: EdDSA, ES256 or HS256 (nothing published at the JWKS)."`
	KeyRotation time.Duration   `env:"KEY_ROTATION" envDefault:"24h" help:"How long a key signs. The same on all replicas."`
	SessionTTL  time.Duration   `env:"SESSION_TTL" envDefault:"1h" help:"Idle limit: a session that is not used for so long ends."`
	SessionMax  time.Duration   `env:"SESSION_MAX" envDefault:"24h" help:"Absolute limit: so long after sign-in a session ends, used or not."`

	CookieName        string   `env:"COOKIE_NAME" envDefault:"session" help:"Name of the session cookie. Under an https base URL and without a domain it becomes __Host-<name>."`
	CookieDomain      string   `env:"COOKIE_DOMAIN" help:"Domain of the cookie, to share it between sub-domains. Without: the host of the base URL alone."`
	CookieSameSite    sameSite `env:"COOKIE_SAMESITE" envDefault:"lax" help:"lax, strict or none (none needs https)."`
	CookiePartitioned bool     `env:"COOKIE_PARTITIONED" help:"Partition the cookie by top-level site (CHIPS; needs https)."`
	CookieInsecure    bool     `env:"COOKIE_INSECURE" help:"Allow a plain http base URL on another host than loopback. Whoever is on the way can then take the session."`
	CookieRoutes      bool     `env:"COOKIE_ROUTES" envDefault:"true" help:"The tutorial's raw cookie routes: /add, /cookies, /del."`

	ReturnHosts    []string    `env:"RETURN_HOSTS" help:"Hosts beside our own that a browser may be sent to after sign-in: exact, or .example.com for all sub-domains; ports explicit; separated by commas."`
	TrustedProxies []proxyAddr `env:"TRUSTED_PROXIES" envDefault:"127.0.0.0/8,::1/128" help:"Addresses and networks of proxies: whose checks are answered and whose forwarded headers are believed; separated by commas."`

	LogLevel  slog.Level `env:"LOG_LEVEL" envDefault:"info" help:"debug, info, warn or error. Allowed checks are logged at debug."`
	LogFormat string     `env:"LOG_FORMAT" envDefault:"text" help:"text or json."`

	unknown []string // variables with our prefix that are none of these
	given   map[string]bool
}

// problem is one thing to put right before the service starts.
type problem struct {
	name  string // of the variable, with its prefix
	wrong string
	write string // what to do; may be empty
}

func (p problem) String() string {
	if p.write == "" {
		return fmt.Sprintf("%s: %s", p.name, p.wrong)
	}
	return fmt.Sprintf("%s: %s\n    write: %s", p.name, p.wrong, p.write)
}

// parse reads an environment and reports everything that is wrong with it that
// can be seen without opening a file.
func parse(environ []string) (*config, []problem) {
	vars := env.ToMap(environ)
	c := &config{given: map[string]bool{}}
	names := map[string]string{} // field → variable
	for f := range fields() {
		names[f.Name] = variable(f)
		c.given[variable(f)] = vars[variable(f)] != ""
	}
	for name := range vars {
		// Kubernetes adds AUTHSVC_SERVICE_HOST and AUTHSVC_PORT_… where a
		// Service is called authsvc.
		_, ours := c.given[name]
		kubernetes := strings.HasPrefix(name, prefix+"SERVICE_") || strings.HasPrefix(name, prefix+"PORT") && (strings.HasPrefix(vars[name], "tcp://") || strings.HasPrefix(name, prefix+"PORT_"))
		if strings.HasPrefix(name, prefix) && !ours && !kubernetes {
			c.unknown = append(c.unknown, name)
		}
	}
	slices.Sort(c.unknown)

	var problems []problem
	if err := env.ParseWithOptions(c, env.Options{Environment: vars, Prefix: prefix}); err != nil {
		for _, err := range err.(env.AggregateError).Errors {
			name := prefix
			if p := (env.ParseError{}); errors.As(err, &p) {
				name, err = names[p.Name], p.Err
			}
			problems = append(problems, problem{name, err.Error(), examples[name]})
		}
	}
	// What did not parse is the zero value and would only be reported twice.
	wrong := map[string]bool{}
	for _, p := range problems {
		wrong[p.name] = true
	}
	for _, p := range slices.Concat(c.listenProblems(), c.loginProblems(), c.keyProblems(), c.cookieProblems()) {
		if !wrong[p.name] {
			problems = append(problems, p)
		}
	}
	return c, problems
}

// examples is what to write where a value could not be read.
var examples = map[string]string{
	prefix + "BASE_URL":        prefix + "BASE_URL=https://auth.example.com",
	prefix + "LOG_LEVEL":       prefix + "LOG_LEVEL=debug, =info, =warn or =error",
	prefix + "SESSION_TTL":     prefix + "SESSION_TTL=1h",
	prefix + "SESSION_MAX":     prefix + "SESSION_MAX=24h",
	prefix + "KEY_ROTATION":    prefix + "KEY_ROTATION=24h",
	prefix + "TRUSTED_PROXIES": prefix + "TRUSTED_PROXIES=127.0.0.1,10.0.0.0/8",
}

func (c *config) listenProblems() (ps []problem) {
	for _, l := range []struct{ name, addr string }{{"LISTEN", c.Listen}, {"ADMIN_LISTEN", c.AdminListen}} {
		_, port, err := net.SplitHostPort(l.addr)
		if err == nil {
			_, err = net.LookupPort("tcp", port)
		}
		if err != nil {
			ps = append(ps, problem{prefix + l.name, err.Error(), prefix + l.name + "=127.0.0.1:8080, or =:8080 for all addresses"})
		}
	}
	if _, port, _ := net.SplitHostPort(c.Listen); c.Listen == c.AdminListen && port != "0" {
		ps = append(ps, problem{prefix + "ADMIN_LISTEN", "is the public listener's address: metrics would be public", prefix + "ADMIN_LISTEN=127.0.0.1:8081"})
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		ps = append(ps, problem{prefix + "LOG_FORMAT", fmt.Sprintf("%q is not a format", c.LogFormat), prefix + "LOG_FORMAT=text or =json"})
	}
	if c.BaseURL.Host != "" && c.BaseURL.Scheme == "http" && !httpx.Loopback(c.BaseURL.Host) && !c.CookieInsecure {
		ps = append(ps, problem{prefix + "BASE_URL", "plain http on another host than loopback: whoever is on the way could take the session", prefix + "BASE_URL=https://" + c.BaseURL.Host + ", or " + prefix + "COOKIE_INSECURE=true if that is what you want"})
	}
	if _, err := httpx.NewReturns(&c.BaseURL.URL, nil); c.BaseURL.Host != "" && err != nil {
		ps = append(ps, problem{prefix + "BASE_URL", err.Error(), prefix + "BASE_URL=https://auth.example.com"})
	} else if c.BaseURL.Host != "" {
		if _, err := httpx.NewReturns(&c.BaseURL.URL, c.ReturnHosts); err != nil {
			ps = append(ps, problem{prefix + "RETURN_HOSTS", strings.ReplaceAll(err.Error(), "\n", "; "), ""})
		}
	}
	return ps
}

func (c *config) loginProblems() (ps []problem) {
	switch c.Login {
	case "htpasswd":
		if c.HtpasswdFile == "" {
			ps = append(ps, problem{prefix + "HTPASSWD_FILE", "not set, and AUTHSVC_LOGIN=htpasswd needs it", "authsvc hash ann >> users; " + prefix + "HTPASSWD_FILE=users"})
		}
	case "name":
		if !httpx.Loopback(c.Listen) && !c.AllowNameLogin {
			ps = append(ps, problem{prefix + "LOGIN", "\"name\" lets anyone in under any name, and " + c.Listen + " is an address that others can reach", prefix + "LOGIN=htpasswd, or " + prefix + "ALLOW_NAME_LOGIN=true if that is what you want"})
		}
	case "":
		ps = append(ps, problem{prefix + "LOGIN", "not set: who may sign in?", prefix + "LOGIN=htpasswd with " + prefix + "HTPASSWD_FILE, or " + prefix + "LOGIN=name to try things out"})
	default:
		ps = append(ps, problem{prefix + "LOGIN", fmt.Sprintf("%q is not a way to sign in", c.Login), prefix + "LOGIN=htpasswd or =name"})
	}
	return ps
}

// keyProblems is what tokens depend on; authsvc token needs no more than this.
func (c *config) keyProblems() (ps []problem) {
	const line = prefix + "SECRET=$(authsvc secret)"
	var given []string
	for _, name := range []string{"SECRET", "SECRET_FILE", "SECRETS_FILE"} {
		if c.given[prefix+name] {
			given = append(given, prefix+name)
		}
	}
	switch {
	case len(given) > 1:
		ps = append(ps, problem{given[0], "set beside " + strings.Join(given[1:], " and ") + ": which one is it?", "one of them"})
	case len(given) == 0 && c.Login != "name":
		ps = append(ps, problem{prefix + "SECRET", "not set: replicas need a secret in common, and sessions one that outlives a restart", line})
	case c.Secret != "" && len(c.Secret) < token.MinSecret:
		ps = append(ps, problem{prefix + "SECRET", fmt.Sprintf("%d bytes long, at least %d are needed", len(c.Secret), token.MinSecret), line})
	}
	if c.SessionTTL < time.Second {
		ps = append(ps, problem{prefix + "SESSION_TTL", "shorter than a second", prefix + "SESSION_TTL=1h"})
	}
	if c.SessionMax < c.SessionTTL {
		ps = append(ps, problem{prefix + "SESSION_MAX", fmt.Sprintf("%v is shorter than %sSESSION_TTL, %v", c.SessionMax, prefix, c.SessionTTL), prefix + "SESSION_MAX=" + (24 * c.SessionTTL).String()})
	}
	switch {
	case c.KeyRotation < time.Second || c.KeyRotation%time.Second != 0:
		ps = append(ps, problem{prefix + "KEY_ROTATION", "must be whole seconds, one at least", prefix + "KEY_ROTATION=24h"})
	case c.SessionMax/c.KeyRotation > 100:
		ps = append(ps, problem{prefix + "KEY_ROTATION", fmt.Sprintf("%d keys would be live at a time, 100 are enough", c.SessionMax/c.KeyRotation), prefix + "KEY_ROTATION=" + (c.SessionMax / 10).Round(time.Minute).String()})
	}
	return ps
}

func (c *config) cookieProblems() (ps []problem) {
	if c.BaseURL.Host == "" {
		return nil // reported already, and the rest depends on it
	}
	secure := c.BaseURL.Scheme == "https"
	if strings.HasPrefix(c.CookieName, "__") && !secure {
		ps = append(ps, problem{prefix + "COOKIE_NAME", "browsers take a name that begins with __Host- or __Secure- only over https", prefix + "COOKIE_NAME=session"})
	} else if err := (&http.Cookie{Name: c.CookieName, Value: "v"}).Valid(); err != nil {
		ps = append(ps, problem{prefix + "COOKIE_NAME", fmt.Sprintf("%q cannot name a cookie", c.CookieName), prefix + "COOKIE_NAME=session"})
	}
	if d := c.CookieDomain; d != "" {
		host := strings.ToLower(c.BaseURL.Hostname())
		d = strings.ToLower(strings.TrimPrefix(d, "."))
		suffix, _ := publicsuffix.PublicSuffix(d)
		switch {
		case strings.HasPrefix(strings.ToLower(c.CookieName), "__host-"):
			ps = append(ps, problem{prefix + "COOKIE_DOMAIN", "a __Host- cookie has no domain", prefix + "COOKIE_NAME=session"})
		case host != d && !strings.HasSuffix(host, "."+d):
			ps = append(ps, problem{prefix + "COOKIE_DOMAIN", fmt.Sprintf("%q is not the host of %sBASE_URL (%s) or a parent of it: browsers would refuse the cookie", d, prefix, host), ""})
		case suffix == d || net.ParseIP(d) != nil:
			ps = append(ps, problem{prefix + "COOKIE_DOMAIN", fmt.Sprintf("%q belongs to many owners or is an address: browsers would refuse the cookie", d), ""})
		}
	}
	if c.CookieSameSite == sameSite(http.SameSiteNoneMode) && !secure {
		ps = append(ps, problem{prefix + "COOKIE_SAMESITE", "none needs an https base URL: browsers would refuse the cookie", prefix + "COOKIE_SAMESITE=lax"})
	}
	if c.CookiePartitioned && !secure {
		ps = append(ps, problem{prefix + "COOKIE_PARTITIONED", "needs an https base URL: browsers would refuse the cookie", prefix + "COOKIE_PARTITIONED=false"})
	}
	return ps
}

// cookie is the session cookie as it goes over the wire. __Host- makes
// browsers refuse a cookie of our name from a sub-domain or over plain http.
func (c *config) cookie() httpx.Cookie {
	name := c.CookieName
	secure := c.BaseURL.Scheme == "https"
	if secure && c.CookieDomain == "" && !strings.HasPrefix(name, "__") {
		name = "__Host-" + name
	}
	return httpx.Cookie{
		Name: name, Domain: strings.TrimPrefix(c.CookieDomain, "."), SameSite: http.SameSite(c.CookieSameSite),
		Secure: secure, Partitioned: c.CookiePartitioned,
	}
}

// warnings is what is allowed and still wants to be said at every start.
func (c *config) warnings() (ws []string) {
	if c.Login == "name" {
		ws = append(ws, "AUTHSVC_LOGIN=name: anyone can sign in under any name, for trying things out only")
		if !c.given[prefix+"SECRET"] && c.SecretFile == "" && c.SecretsFile == "" {
			ws = append(ws, "no secret is set: a random one was made for this process, so a restart ends all sessions and no other replica accepts them")
		}
	}
	if c.CookieInsecure && c.BaseURL.Scheme == "http" && !httpx.Loopback(c.BaseURL.Host) {
		ws = append(ws, "AUTHSVC_COOKIE_INSECURE=true: the session goes over plain http, whoever is on the way can take it")
	}
	if c.given[prefix+"LISTEN"] && !c.given[prefix+"BASE_URL"] {
		ws = append(ws, "AUTHSVC_LISTEN is set and AUTHSVC_BASE_URL is not: browsers are sent to "+c.BaseURL.String()+" to sign in")
	}
	for _, name := range c.unknown {
		ws = append(ws, name+" is not a variable of this service")
	}
	return ws
}

// fields yields the fields that are variables.
func fields() func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for f := range reflect.TypeFor[config]().Fields() {
			if f.Tag.Get("env") != "" && !yield(f) {
				return
			}
		}
	}
}

func variable(f reflect.StructField) string { return prefix + f.Tag.Get("env") }

// secret is a string that no way of printing shows.
type secret string

const redacted = "(redacted)"

// Format is asked for every verb, %d and %x included.
func (secret) Format(f fmt.State, _ rune)   { f.Write([]byte(redacted)) }
func (secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (secret) LogValue() slog.Value         { return slog.StringValue(redacted) }

// baseURL is an origin: a scheme and a host, nothing after it.
type baseURL struct{ url.URL }

func (b *baseURL) UnmarshalText(text []byte) error {
	u, err := url.Parse(strings.TrimSuffix(string(text), "/"))
	switch {
	case err != nil:
		return errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("does not begin with http:// or https://")
	case u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return errors.New("more or less than scheme, host and port, as in https://auth.example.com")
	}
	u.Host = strings.ToLower(u.Host)
	b.URL = *u
	return nil
}

func (b baseURL) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// sameSite parses the attribute's own words.
type sameSite http.SameSite

var sameSites = map[string]http.SameSite{"lax": http.SameSiteLaxMode, "strict": http.SameSiteStrictMode, "none": http.SameSiteNoneMode}

func (s *sameSite) UnmarshalText(text []byte) error {
	v, ok := sameSites[strings.ToLower(string(text))]
	if !ok {
		return fmt.Errorf("%q: write lax, strict or none", text)
	}
	*s = sameSite(v)
	return nil
}

func (s sameSite) MarshalText() ([]byte, error) {
	for name, v := range sameSites {
		if sameSite(v) == s {
			return []byte(name), nil
		}
	}
	return []byte("?"), nil
}

// proxyAddr is an address or a network.
type proxyAddr struct{ netip.Prefix }

func (p *proxyAddr) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if ip, err := netip.ParseAddr(s); err == nil {
		ip = ip.Unmap() // as peers are compared
		p.Prefix = netip.PrefixFrom(ip, ip.BitLen())
		return nil
	}
	n, err := netip.ParsePrefix(s)
	p.Prefix = n
	if err != nil || n.Addr().Is4In6() {
		return fmt.Errorf("%q is neither an address nor a network like 10.0.0.0/8", s)
	}
	return nil
}

func (c *config) trusted() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range c.TrustedProxies {
		out = append(out, p.Masked())
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(out)
}
