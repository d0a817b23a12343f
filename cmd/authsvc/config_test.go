package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite docs/config.md")

const good = "0123456789abcdef0123456789abcdef"

// Each row is what is wrong and which variable is named for it. The first is
// the least that starts.
func TestConfigurationProblems(t *testing.T) {
	htpasswd := []string{"AUTHSVC_LOGIN=htpasswd", "AUTHSVC_HTPASSWD_FILE=users", "AUTHSVC_SECRET=" + good}
	https := append([]string{"AUTHSVC_BASE_URL=https://auth.example.com"}, htpasswd...)
	for _, tc := range []struct {
		reason string
		base   []string
		vars   string
		want   string // variables named, in order
	}{
		{"users and a secret are enough", htpasswd, "", ""},
		{"a name is enough on loopback, and a secret is made", nil, "LOGIN=name", ""},
		{"nothing is set", nil, "", "LOGIN SECRET"},
		{"an unknown way to sign in", htpasswd, "LOGIN=ldap", "LOGIN"},
		{"htpasswd without a file", nil, "LOGIN=htpasswd SECRET=" + good, "HTPASSWD_FILE"},
		{"a missing secret", nil, "LOGIN=htpasswd HTPASSWD_FILE=users", "SECRET"},
		{"a short secret", htpasswd, "SECRET=" + good[:31], "SECRET"},
		{"two secrets", htpasswd, "SECRETS_FILE=x", "SECRET"},
		{"name sign-in for everybody", nil, "LOGIN=name LISTEN=:8080", "LOGIN"},
		{"name sign-in for everybody, on purpose", nil, "LOGIN=name LISTEN=:8080 ALLOW_NAME_LOGIN=true", ""},
		{"name sign-in on ::1", nil, "LOGIN=name LISTEN=[::1]:8080", ""},
		{"no port", htpasswd, "LISTEN=127.0.0.1", "LISTEN"},
		{"a port that is none", htpasswd, "LISTEN=127.0.0.1:99999 ADMIN_LISTEN=:http-alt-x", "LISTEN ADMIN_LISTEN"},
		{"metrics for the public", htpasswd, "ADMIN_LISTEN=127.0.0.1:8080", "ADMIN_LISTEN"},
		{"plain http for everybody", htpasswd, "BASE_URL=http://auth.example.com", "BASE_URL"},
		{"plain http for everybody, on purpose", htpasswd, "BASE_URL=http://auth.example.com COOKIE_INSECURE=true", ""},
		{"a base URL with a path", htpasswd, "BASE_URL=https://example.com/auth", "BASE_URL"},
		{"a base URL with a password", htpasswd, "BASE_URL=https://a:b@example.com", "BASE_URL"},
		{"a base URL that is a host", htpasswd, "BASE_URL=auth.example.com", "BASE_URL"},
		{"a base URL with a slash at its end", htpasswd, "BASE_URL=https://auth.example.com/", ""},
		{"the absolute limit is the shorter one", htpasswd, "SESSION_TTL=2h SESSION_MAX=1h", "SESSION_MAX"},
		{"no idle limit", htpasswd, "SESSION_TTL=0s", "SESSION_TTL"},
		{"hundreds of keys", htpasswd, "KEY_ROTATION=1m", "KEY_ROTATION"},
		{"half a second of key", htpasswd, "KEY_ROTATION=500ms SESSION_MAX=1h", "KEY_ROTATION"},
		{"not a duration", htpasswd, "SESSION_TTL=1hour", "SESSION_TTL"},
		{"not an algorithm", htpasswd, "ALG=none", "ALG"},
		{"an algorithm we do not have", htpasswd, "ALG=RS256", "ALG"},
		{"not a yes or no", htpasswd, "COOKIE_ROUTES=maybe", "COOKIE_ROUTES"},
		{"a cookie name with a space", htpasswd, "COOKIE_NAME=a;b", "COOKIE_NAME"},
		{"a __Host- name over http", htpasswd, "COOKIE_NAME=__Host-s", "COOKIE_NAME"},
		{"a __Host- name with a domain", https, "COOKIE_NAME=__Host-s COOKIE_DOMAIN=example.com", "COOKIE_DOMAIN"},
		{"a parent domain", https, "COOKIE_DOMAIN=example.com", ""},
		{"another domain", https, "COOKIE_DOMAIN=example.org", "COOKIE_DOMAIN"},
		{"a domain that ends alike", https, "COOKIE_DOMAIN=ple.com", "COOKIE_DOMAIN"},
		{"a domain of many owners", https, "COOKIE_DOMAIN=com", "COOKIE_DOMAIN"},
		{"an address as domain", htpasswd, "COOKIE_DOMAIN=127.0.0.1", "COOKIE_DOMAIN"},
		{"SameSite=None over http", htpasswd, "COOKIE_SAMESITE=none", "COOKIE_SAMESITE"},
		{"SameSite=None over https", https, "COOKIE_SAMESITE=none", ""},
		{"Partitioned over http", htpasswd, "COOKIE_PARTITIONED=true", "COOKIE_PARTITIONED"},
		{"no SameSite", htpasswd, "COOKIE_SAMESITE=", ""},
		{"a wrong SameSite", htpasswd, "COOKIE_SAMESITE=loose", "COOKIE_SAMESITE"},
		{"a return URL where a host belongs", htpasswd, "RETURN_HOSTS=https://app.example.com/", "RETURN_HOSTS"},
		{"a base URL with a port that is none", htpasswd, "BASE_URL=http://127.0.0.1:99999", "BASE_URL"},
		{"a network of IPv4 addresses written as IPv6", htpasswd, "TRUSTED_PROXIES=::ffff:10.0.0.0/104", "TRUSTED_PROXIES"},
		{"a proxy by name", htpasswd, "TRUSTED_PROXIES=nginx", "TRUSTED_PROXIES"},
		{"proxies by address and network", htpasswd, "TRUSTED_PROXIES=10.0.0.7,172.16.0.0/12,::1", ""},
		{"a wrong level", htpasswd, "LOG_LEVEL=loud", "LOG_LEVEL"},
		{"a wrong format", htpasswd, "LOG_FORMAT=xml", "LOG_FORMAT"},
		{"everything at once", nil, "LOGIN=ldap SESSION_TTL=x BASE_URL=ftp://x LOG_FORMAT=xml KEY_ROTATION=0s", "SESSION_TTL BASE_URL LOG_FORMAT LOGIN SECRET KEY_ROTATION"},
	} {
		environ := append([]string{}, tc.base...)
		for _, v := range strings.Fields(tc.vars) {
			environ = append(environ, prefix+v)
		}
		_, problems := parse(environ)
		var named []string
		for _, p := range problems {
			named = append(named, strings.TrimPrefix(p.name, prefix))
			if p.wrong == "" || strings.Contains(p.String(), good[:30]) {
				t.Errorf("%s: %q", tc.reason, p)
			}
		}
		want := strings.Fields(tc.want)
		if len(named) != len(want) || len(want) > 0 && !cmp.Equal(sorted(named), sorted(want)) {
			t.Errorf("%s: problems with %v, want %v:\n%v", tc.reason, named, want, problems)
		}
	}
}

func sorted(words []string) string {
	set := map[string]int{}
	for _, w := range words {
		set[w]++
	}
	return fmt.Sprint(set) // maps print in order of their keys
}

func TestWarnings(t *testing.T) {
	c, problems := parse([]string{"AUTHSVC_LOGIN=name", "AUTHSVC_SESION_TTL=1h", "AUTHSVC_SERVICE_HOST=10.0.0.1", "AUTHSVC_PORT=tcp://10.0.0.1:8080", "AUTHSVC_PORT_8080_TCP=tcp://10.0.0.1:8080", "AUTHSVC_LISTEN=127.0.0.1:9000"})
	if problems != nil {
		t.Fatal(problems)
	}
	got := strings.Join(c.warnings(), "\n")
	for _, want := range []string{"anyone can sign in", "a restart ends all sessions", "AUTHSVC_SESION_TTL is not a variable", "browsers are sent to http://127.0.0.1:8080"} {
		if !strings.Contains(got, want) {
			t.Errorf("no warning %q in:\n%s", want, got)
		}
	}
	if c, _ := parse([]string{"AUTHSVC_PORT=9090"}); len(c.unknown) != 1 {
		t.Error("nobody says that AUTHSVC_PORT does nothing")
	}
	if strings.Contains(got, "SERVICE_HOST") || strings.Contains(got, "AUTHSVC_PORT") {
		t.Errorf("what Kubernetes sets is warned of:\n%s", got)
	}
}

func TestCookieName(t *testing.T) {
	for vars, want := range map[string]string{
		"BASE_URL=http://127.0.0.1:8080":                                                          "session=(token); Path=/; HttpOnly; SameSite=Lax",
		"BASE_URL=https://auth.example.com":                                                       "__Host-session=(token); Path=/; HttpOnly; Secure; SameSite=Lax",
		"BASE_URL=https://auth.example.com COOKIE_DOMAIN=.example.com":                            "session=(token); Path=/; Domain=example.com; HttpOnly; Secure; SameSite=Lax",
		"BASE_URL=https://auth.example.com COOKIE_NAME=s COOKIE_SAMESITE=none":                    "__Host-s=(token); Path=/; HttpOnly; Secure; SameSite=None",
		"BASE_URL=https://auth.example.com COOKIE_SAMESITE=Strict COOKIE_PARTITIONED=true":        "__Host-session=(token); Path=/; HttpOnly; Secure; SameSite=Strict; Partitioned",
		"BASE_URL=https://auth.example.com COOKIE_NAME=__Host-own":                                "__Host-own=(token); Path=/; HttpOnly; Secure; SameSite=Lax",
		"BASE_URL=http://auth.example.com COOKIE_INSECURE=true COOKIE_DOMAIN=example.com LISTEN=": "session=(token); Path=/; Domain=example.com; HttpOnly; SameSite=Lax",
	} {
		environ := []string{"AUTHSVC_LOGIN=name"}
		for _, v := range strings.Fields(vars) {
			environ = append(environ, prefix+v)
		}
		c, problems := parse(environ)
		if got := c.cookie().Example(); got != want || problems != nil {
			t.Errorf("%s: %s, want %s (%v)", vars, got, want, problems)
		}
	}
}

// However a configuration is printed, its secret is not.
func TestSecretsDoNotPrint(t *testing.T) {
	c, _ := parse([]string{"AUTHSVC_LOGIN=name", "AUTHSVC_SECRET=" + good})
	secrets, _, err := c.secrets()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+"\n", c)
		fmt.Fprintf(&out, verb+"\n", *c)
		fmt.Fprintf(&out, verb+"\n", c.Secret)
		fmt.Fprintf(&out, verb+"\n", secrets)
	}
	for _, v := range []any{c, c.Secret, secrets} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
	}
	for _, leak := range []string{good, fmt.Sprintf("%x", good), fmt.Sprintf("%X", good)} {
		if strings.Contains(out.String(), leak) {
			i := strings.Index(out.String(), leak)
			t.Errorf("the secret is printed: %.80q", out.String()[max(0, i-40):])
		}
	}
}

// docs/config.md is what the tags say.
func TestConfigDoc(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Configuration\n\nThe environment, and nothing else. `authsvc check` says what was understood; all problems are\nreported at once. This page is made from the code (`go test ./cmd/authsvc -run ConfigDoc -update`).\n\n| variable | default | meaning |\n|---|---|---|\n")
	for f := range fields() {
		def := f.Tag.Get("envDefault")
		if def != "" {
			def = "`" + def + "`"
		} else if f.Type.Kind() == reflect.Bool {
			def = "`false`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", variable(f), def, f.Tag.Get("help"))
	}
	path := filepath.Join("..", "..", "docs", "config.md")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(have), b.String()); d != "" {
		t.Errorf("docs/config.md is not current: -page +code\n%s", d)
	}
}
