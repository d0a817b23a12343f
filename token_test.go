package authsvc_test

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"authsvc/e2e/proc"
)

func TestMain(m *testing.M) { proc.Main(m) }

const secret = "a secret of the black box test, 32 bytes and more"

// client neither follows redirects nor keeps cookies: each test says what is sent.
var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 10 * time.Second}

func get(t *testing.T, url string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return do(t, r)
}

func do(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// signIn returns the session cookie.
func signIn(t *testing.T, s *proc.Service, form url.Values) *http.Cookie {
	t.Helper()
	r, _ := http.NewRequest("POST", s.URL+"/do_login", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, body := do(t, r)
	if answer.StatusCode != 200 || len(answer.Cookies()) != 1 {
		t.Fatalf("sign-in: %s, %d cookies: %s", answer.Status, len(answer.Cookies()), body)
	}
	return answer.Cookies()[0]
}

// A session made by one replica is known to another and, by the JWKS alone, to
// whoever can read a JWT: here to a JOSE library that did not sign it.
func TestAnyReplicaRecognisesTheCookie(t *testing.T) {
	for _, alg := range []string{"EdDSA", "ES256", "HS256"} {
		t.Run(alg, func(t *testing.T) {
			a := proc.Authsvc(t, "AUTHSVC_LOGIN=name", "AUTHSVC_SECRET="+secret, "AUTHSVC_ALG="+alg)
			b := proc.Authsvc(t, "AUTHSVC_LOGIN=name", "AUTHSVC_SECRET="+secret, "AUTHSVC_ALG="+alg)
			cookie := signIn(t, a, url.Values{"user_name": {"letian"}})
			if answer, body := get(t, b.URL+"/show", "Cookie", cookie.Name+"="+cookie.Value); answer.StatusCode != 200 || body != "letian\n" {
				t.Errorf("the other replica: %s, %q", answer.Status, body)
			}
			answer, body := get(t, b.URL+"/.well-known/jwks.json")
			var set jose.JSONWebKeySet
			if err := json.Unmarshal([]byte(body), &set); err != nil {
				t.Fatalf("jwks %s: %v", body, err)
			}
			if got := answer.Header.Get("Cache-Control"); got != "public, max-age=300" {
				t.Errorf("jwks may be kept: %q", got)
			}
			if alg == "HS256" {
				if len(set.Keys) != 0 {
					t.Errorf("HS256 publishes %s", body)
				}
				return
			}
			jws, err := jose.ParseSignedCompact(cookie.Value, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
			if err != nil {
				t.Fatal(err)
			}
			payload, err := jws.Verify(set)
			if err != nil {
				t.Fatalf("verify by the JWKS: %v", err)
			}
			var claims struct {
				Sub      string
				Exp, Iat int64
			}
			if err := json.Unmarshal(payload, &claims); err != nil || claims.Sub != "letian" || claims.Exp-claims.Iat != 3600 {
				t.Errorf("claims %s, %v", payload, err)
			}
			for _, k := range set.Keys {
				if !k.IsPublic() || k.Use != "sig" || k.Algorithm != alg {
					t.Errorf("published key %+v", k)
				}
			}
		})
	}
	t.Run("another secret", func(t *testing.T) {
		a := proc.Authsvc(t, "AUTHSVC_LOGIN=name", "AUTHSVC_SECRET="+secret)
		b := proc.Authsvc(t, "AUTHSVC_LOGIN=name", "AUTHSVC_SECRET="+strings.ToUpper(secret))
		cookie := signIn(t, a, url.Values{"user_name": {"letian"}})
		if answer, _ := get(t, b.URL+"/show", "Cookie", cookie.Name+"="+cookie.Value); answer.StatusCode != 401 {
			t.Errorf("accepted: %s", answer.Status)
		}
	})
}

// derive makes the Ed25519 key of an epoch as docs/design/001-keys.md says, from
// nothing but that page: what is wrong with a forged token below is only what
// its row says.
func derive(t *testing.T, epoch int64) (ed25519.PrivateKey, string) {
	t.Helper()
	seed, err := hkdf.Key(sha256.New, []byte(secret), nil, fmt.Sprintf("authsvc/v1/session/EdDSA/86400/%d", epoch), 32)
	if err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	x := base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`))
	return key, base64.RawURLEncoding.EncodeToString(sum[:])
}

func compact(header, claims map[string]any, sign func(input []byte) []byte) string {
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	input := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(input)))
}

func TestForgedTokens(t *testing.T) {
	s := proc.Authsvc(t, "AUTHSVC_LOGIN=name", "AUTHSVC_SECRET="+secret)
	now := time.Now().Unix()
	epoch := now / 86400
	key, kid := derive(t, epoch)
	retired, retiredKID := derive(t, epoch-3)
	other, otherKID := derive(t, epoch+2)
	_, strange, _ := ed25519.GenerateKey(nil)

	header := map[string]any{"alg": "EdDSA", "kid": kid, "typ": "authsvc-session+jwt"}
	claims := map[string]any{
		"iss": "authsvc", "sub": "letian", "aud": []string{"authsvc-session"}, "sid": "s", "via": "name",
		"iat": now, "nbf": now - 60, "exp": now + 600, "auth_time": now,
	}
	with := func(m map[string]any, kv ...any) map[string]any {
		m = maps.Clone(m)
		for i := 0; i < len(kv); i += 2 {
			m[kv[i].(string)] = kv[i+1]
		}
		return m
	}
	by := func(k ed25519.PrivateKey) func([]byte) []byte {
		return func(in []byte) []byte { return ed25519.Sign(k, in) }
	}
	mac := func(secret []byte) func([]byte) []byte {
		return func(in []byte) []byte {
			m := hmac.New(sha256.New, secret)
			m.Write(in)
			return m.Sum(nil)
		}
	}
	none := func([]byte) []byte { return nil }
	good := compact(header, claims, by(key))
	tampered := good[:len(good)/2] + string(good[len(good)/2]^1) + good[len(good)/2+1:]

	for _, tc := range []struct{ name, token, reason string }{
		{"nothing wrong", good, "ok"},
		{"one bit of the claims", tampered, "bad_signature"},
		{"another key under our kid", compact(header, claims, by(strange)), "bad_signature"},
		{"another key under its own kid", compact(with(header, "kid", "mine"), claims, by(strange)), "unknown_key"},
		{"another key in the header", compact(with(header, "kid", "mine", "jwk", map[string]string{"kty": "OKP", "crv": "Ed25519", "x": "AA"}), claims, by(strange)), "unknown_key"},
		{"a token of another purpose, by typ", compact(with(header, "typ", "authsvc-state+jwt"), claims, by(key)), "wrong_purpose"},
		{"a token of another purpose, by aud", compact(header, with(claims, "aud", []string{"authsvc-state"}), by(key)), "wrong_purpose"},
		{"a token of another issuer", compact(header, with(claims, "iss", "someone"), by(key)), "wrong_purpose"},
		{"alg none", compact(with(header, "alg", "none"), claims, none), "malformed"},
		{"alg none with a signature", compact(with(header, "alg", "none"), claims, by(key)), "algorithm"},
		{"the public key as HMAC secret", compact(with(header, "alg", "HS256"), claims, mac(key.Public().(ed25519.PublicKey))), "algorithm"},
		{"an extension we must know", compact(with(header, "crit", []string{"exp"}), claims, by(key)), "malformed"},
		{"expired", compact(header, with(claims, "exp", now-1), by(key)), "expired"},
		{"no exp", compact(header, with(claims, "exp", nil), by(key)), "missing_claim"},
		{"not yet valid", compact(header, with(claims, "nbf", now+600), by(key)), "not_yet_valid"},
		{"no subject", compact(header, with(claims, "sub", ""), by(key)), "missing_claim"},
		{"beyond the absolute limit", compact(header, with(claims, "auth_time", now-86400), by(key)), "expired"},
		{"a retired key", compact(with(header, "kid", retiredKID), claims, by(retired)), "unknown_key"},
		{"a key that is not published yet", compact(with(header, "kid", otherKID), claims, by(other)), "unknown_key"},
		{"too large", compact(header, with(claims, "name", strings.Repeat("a", 4096)), by(key)), "too_large"},
	} {
		for _, carrier := range [][2]string{{"Cookie", "session=" + tc.token}, {"Authorization", "Bearer " + tc.token}} {
			before := counter(t, s, tc.reason)
			answer, _ := get(t, s.URL+"/verify", carrier[0], carrier[1])
			want := 401
			if tc.reason == "ok" {
				want = 200
			}
			if user := answer.Header.Get("Remote-User"); answer.StatusCode != want || (user == "letian") != (want == 200) {
				t.Errorf("%s, in %s: %s for %q, want %d", tc.name, carrier[0], answer.Status, user, want)
			}
			if after := counter(t, s, tc.reason); after == before {
				t.Errorf("%s, in %s: not counted as %q", tc.name, carrier[0], tc.reason)
			}
		}
	}
}

// counter reads the line of a reason from /metrics.
func counter(t *testing.T, s *proc.Service, reason string) string {
	t.Helper()
	_, body := get(t, s.Admin+"/metrics")
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, `authsvc_checks_total{dialect="plain",reason="`+reason+`"`) {
			return line
		}
	}
	t.Fatalf("no counter for %q", reason)
	return ""
}

// A parent domain or an attacker's sub-domain may add cookies of our name; the
// good one is found among them, up to four, and that there were several is counted.
func TestDuplicatedCookies(t *testing.T) {
	s := proc.Authsvc(t, "AUTHSVC_LOGIN=name", "AUTHSVC_SECRET="+secret)
	good := signIn(t, s, url.Values{"user_name": {"letian"}}).Value
	for _, tc := range []struct {
		cookies string
		want    int
	}{
		{"session=" + good, 200},
		{"session=x; session=" + good, 200},
		{"a=b; session=x; session=y; c=d; session=z; session=" + good, 200},
		{"session=1; session=2; session=3; session=4; session=" + good, 401},
		{"Session=" + good, 401},
		{"session =" + good, 401},
		{"xsession=" + good, 401},
		{`session="` + good + `"`, 401},
		{"session=" + good + " ", 200}, // the header's own end is trimmed by HTTP (RFC 9110 §5.5)
		{"$Version=1; session=" + good + "; $Path=/", 200},
	} {
		if answer, _ := get(t, s.URL+"/verify", "Cookie", tc.cookies); answer.StatusCode != tc.want {
			t.Errorf("%q: %s, want %d", strings.ReplaceAll(tc.cookies, good, "GOOD"), answer.Status, tc.want)
		}
	}
	if _, body := get(t, s.Admin+"/metrics"); !strings.Contains(body, "\nauthsvc_duplicate_cookies_total 3\n") {
		t.Error("three requests with duplicates are not counted as three")
	}
}

// A browser drops a cookie of more than 4096 bytes without a word; the user
// gets the word from us, at sign-in.
func TestSessionThatDoesNotFit(t *testing.T) {
	dir := t.TempDir()
	line, _, status := proc.Run(t, nil, "correct horse\n", "hash", "--cost=4", "ann")
	if status != 0 {
		t.Fatal("hash", status)
	}
	groups := ""
	for i := range 300 {
		groups += fmt.Sprintf("a-rather-long-group-%03d: ann\n", i)
	}
	write(t, filepath.Join(dir, "users"), line)
	write(t, filepath.Join(dir, "groups"), groups)
	s := proc.Authsvc(t, "AUTHSVC_LOGIN=htpasswd", "AUTHSVC_SECRET="+secret,
		"AUTHSVC_HTPASSWD_FILE="+filepath.Join(dir, "users"), "AUTHSVC_HTGROUP_FILE="+filepath.Join(dir, "groups"))
	r, _ := http.NewRequest("POST", s.URL+"/login", strings.NewReader(`{"user_name":"ann","password":"correct horse"}`))
	r.Header.Set("Content-Type", "application/json")
	answer, body := do(t, r)
	if answer.StatusCode != 500 || answer.Header.Get("Set-Cookie") != "" || !strings.Contains(body, "does not fit in a cookie") {
		t.Errorf("%s, %q, Set-Cookie %q", answer.Status, body, answer.Header.Get("Set-Cookie"))
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestImports holds the arrows between packages: who may know whom. A package
// that is not in the table may not exist.
func TestImports(t *testing.T) {
	allowed := map[string]string{
		"authsvc":             "",
		"authsvc/cmd/authsvc": "httpx login metrics reload token",
		"authsvc/token":       "",
		"authsvc/login":       "token",
		"authsvc/httpx":       "httpx/page metrics token",
		"authsvc/httpx/page":  "",
		"authsvc/metrics":     "",
		"authsvc/reload":      "",
		"authsvc/e2e":         "",
		"authsvc/e2e/proc":    "",
	}
	// What a package keeps its hands off, whoever would bring it in directly.
	forbidden := map[string][]string{
		"authsvc/token":   {"net/http", "os", "log/slog", "github.com/prometheus/client_golang/prometheus"},
		"authsvc/login":   {"net/http", "os", "log/slog"},
		"authsvc/httpx":   {"os"},
		"authsvc/metrics": {"log/slog"},
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		pkg, imports := words[0], words[1:]
		may, known := allowed[pkg]
		if !known {
			t.Errorf("%s: a new package needs a line here and in doc.go", pkg)
			continue
		}
		var ours []string
		for _, i := range imports {
			if slices.Contains(forbidden[pkg], i) {
				t.Errorf("%s imports %s", pkg, i)
			}
			if rest, ok := strings.CutPrefix(i, "authsvc/"); ok {
				ours = append(ours, rest)
			}
		}
		if d := cmp.Diff(may, strings.Join(ours, " ")); d != "" {
			t.Errorf("%s: arrows: -table +code\n%s", pkg, d)
		}
	}
}
