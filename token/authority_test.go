package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
)

var algorithms = []Algorithm{EdDSA, ES256, HS256}

func newAuthority(t testing.TB, alg Algorithm) *Authority {
	t.Helper()
	a, err := New(Config{
		Algorithm: alg, Rotation: 24 * time.Hour, TTL: time.Hour, Max: 24 * time.Hour,
		Secrets: []Secret{mustSecret(t, secretA, time.Time{})},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var letian = Identity{User: "letian", Name: "Le Tian", Email: "letian@example.com", Groups: []string{"admin", "dev"}}

func TestMintVerify(t *testing.T) {
	for _, alg := range algorithms {
		a, b := newAuthority(t, alg), newAuthority(t, alg) // two replicas
		raw, minted, err := a.Mint(letian, Grant{Via: "name", Permanent: true}, time.Now())
		if err != nil {
			t.Fatal(alg, err)
		}
		got, err := b.Verify(raw, time.Now())
		if err != nil {
			t.Fatal(alg, err)
		}
		if d := cmp.Diff(letian, got.Identity()); d != "" {
			t.Errorf("%s: identity: -want +got\n%s", alg, d)
		}
		want, _ := json.Marshal(minted)
		have, _ := json.Marshal(got)
		if string(want) != string(have) {
			t.Errorf("%s: minted %s, verified %s", alg, want, have)
		}
		if alive := b.Keys(time.Now()); alive[slices.IndexFunc(alive, func(k KeyInfo) bool { return k.State == Signing })].Verified != 1 {
			t.Errorf("%s: the signing key has not counted one token: %v", alg, alive)
		}
	}
}

// forge signs claims with a's own signing key, so that nothing but the claims
// or the header under test is wrong.
func forge(t *testing.T, a *Authority, at time.Time, typ string, change func(map[string]any)) string {
	t.Helper()
	_, c, err := a.Mint(letian, Grant{Via: "name"}, at)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(c)
	claims := map[string]any{}
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Fatal(err)
	}
	change(claims)
	set, err := a.ring.at(at)
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(claims)
	head, _ := encodeHeader(a.ring.alg, set.signing.kid, typ)
	raw, err := set.signing.seal(head, payload)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestVerifyRefuses(t *testing.T) {
	a := newAuthority(t, EdDSA)
	now := time.Now().Truncate(time.Second)
	const typ = "authsvc-session+jwt"
	without := func(name string) func(map[string]any) { return func(c map[string]any) { delete(c, name) } }
	with := func(name string, v any) func(map[string]any) { return func(c map[string]any) { c[name] = v } }
	for _, tc := range []struct {
		name string
		raw  string
		want error
	}{
		{"nothing wrong", forge(t, a, now, typ, func(map[string]any) {}), nil},
		{"other typ", forge(t, a, now, "JWT", func(map[string]any) {}), ErrPurpose},
		{"no typ", forge(t, a, now, "", func(map[string]any) {}), ErrPurpose},
		{"other audience", forge(t, a, now, typ, with("aud", []string{"authsvc-state"})), ErrPurpose},
		{"no audience", forge(t, a, now, typ, without("aud")), ErrClaims},
		{"other issuer", forge(t, a, now, typ, with("iss", "authsvc2")), ErrPurpose},
		{"no issuer", forge(t, a, now, typ, without("iss")), ErrClaims},
		{"no subject", forge(t, a, now, typ, without("sub")), ErrClaims},
		{"empty subject", forge(t, a, now, typ, with("sub", "")), ErrClaims},
		{"no sid", forge(t, a, now, typ, without("sid")), ErrClaims},
		{"no auth_time", forge(t, a, now, typ, without("auth_time")), ErrClaims},
		{"no iat", forge(t, a, now, typ, without("iat")), ErrClaims},
		{"no exp", forge(t, a, now, typ, without("exp")), ErrClaims},
		{"null exp", forge(t, a, now, typ, with("exp", nil)), ErrClaims},
		{"exp 0, which map claims take for none", forge(t, a, now, typ, with("exp", 0)), ErrClaims},
		{"exp this second", forge(t, a, now, typ, with("exp", now.Unix())), ErrExpired},
		{"exp as text", forge(t, a, now, typ, with("exp", "never")), ErrMalformed},
		{"nbf ahead", forge(t, a, now, typ, with("nbf", now.Unix()+5)), ErrNotYetValid},
		{"absolute limit passed", forge(t, a, now, typ, with("auth_time", now.Unix()-24*3600)), ErrExpired},
		{"claims are a list", mustSeal(t, a, now, []int{1}), ErrMalformed},
		{"empty", "", ErrMalformed},
		{"two dots alone", "..", ErrMalformed},
		{"too large", strings.Repeat("a", MaxLen+1), ErrTooLarge},
	} {
		c, err := a.Verify(tc.raw, now)
		if !errors.Is(err, tc.want) || (err == nil) != (c != nil) {
			t.Errorf("%s: %v, %v; want %v", tc.name, c, err, tc.want)
		}
	}
}

func mustSeal(t *testing.T, a *Authority, at time.Time, claims any) string {
	t.Helper()
	set, err := a.ring.at(at)
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(claims)
	raw, err := set.signing.seal(set.signing.head, payload)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestVerifyRefusesForgedSignatures(t *testing.T) {
	for _, alg := range algorithms {
		a := newAuthority(t, alg)
		raw, _, err := a.Mint(letian, Grant{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		head, rest, _ := strings.Cut(raw, ".")
		body, sig, _ := strings.Cut(rest, ".")
		kid := signer(t, raw)
		rewrite := func(h string) string {
			return strict.EncodeToString([]byte(h)) + "." + body + "." + sig
		}
		set, _ := a.ring.at(time.Now())
		// The public key as an HMAC secret: the classic confusion.
		confused := ""
		if alg != HS256 {
			jwk := set.jwks
			s, err := jwt.SigningMethodHS256.Sign(head+"."+body, jwk)
			if err != nil {
				t.Fatal(err)
			}
			confused = head + "." + body + "." + strict.EncodeToString(s)
		}
		for _, tc := range []struct {
			name, raw string
			want      error
		}{
			{"alg none, no signature", strict.EncodeToString([]byte(`{"alg":"none","kid":"`+kid+`"}`)) + "." + body + ".", ErrMalformed},
			{"alg none", rewrite(`{"alg":"none","typ":"authsvc-session+jwt","kid":"` + kid + `"}`), ErrAlgorithm},
			{"alg NONE", rewrite(`{"alg":"NonE","kid":"` + kid + `"}`), ErrAlgorithm},
			{"alg of another family", rewrite(`{"alg":"RS256","kid":"` + kid + `"}`), ErrAlgorithm},
			{"no kid", rewrite(`{"alg":"` + string(alg) + `"}`), ErrUnknownKey},
			{"unknown kid", rewrite(`{"alg":"` + string(alg) + `","kid":"x"}`), ErrUnknownKey},
			{"own jwk in the header", rewrite(`{"alg":"` + string(alg) + `","kid":"x","jwk":{"kty":"oct","k":"AAAA"}}`), ErrUnknownKey},
			{"crit", rewrite(`{"alg":"` + string(alg) + `","kid":"` + kid + `","crit":["exp"]}`), ErrMalformed},
			{"empty crit", rewrite(`{"alg":"` + string(alg) + `","kid":"` + kid + `","crit":[]}`), ErrMalformed},
			{"changed payload", head + "." + "e" + strings.ToUpper(body[1:2]) + body[2:] + "x." + sig, ErrSignature},
			{"changed signature", head + "." + body + "." + flip(sig), ErrSignature},
			{"short signature", head + "." + body + "." + sig[:len(sig)/8*4], ErrSignature},
			{"confused", confused, ErrSignature},
			{"padding", raw + "=", ErrMalformed},
			{"a newline", head + ".\n" + body + "." + sig, ErrSignature},
			{"a fourth part", raw + ".", ErrMalformed},
			{"white space", " " + raw, ErrMalformed},
		} {
			if tc.raw == "" {
				continue
			}
			if _, err := a.Verify(tc.raw, time.Now()); !errors.Is(err, tc.want) {
				t.Errorf("%s, %s: %v, want %v", alg, tc.name, err, tc.want)
			}
		}
	}
}

// flip changes one character in the middle, where all six bits count.
func flip(s string) string {
	i := len(s) / 2
	c := byte('A')
	if s[i] == c {
		c = 'B'
	}
	return s[:i] + string(c) + s[i+1:]
}

// Every part of a label keeps keys apart: another secret, algorithm, purpose,
// rotation or period is another key.
func TestKeysAreApart(t *testing.T) {
	seen := map[string]string{}
	for _, value := range []string{secretA, secretB} {
		for _, alg := range algorithms {
			for _, purpose := range []Purpose{Session, "state"} {
				for _, rotation := range []time.Duration{time.Hour, 2 * time.Hour} {
					for _, epoch := range []int64{1, 2} {
						name := fmt.Sprint(value, alg, purpose, rotation, epoch)
						k, err := derive(Secret{value: value}, alg, label(purpose, alg, rotation, epoch))
						if err != nil {
							t.Fatal(err)
						}
						if other, ok := seen[k.kid]; ok {
							t.Errorf("%s and %s have one key", name, other)
						}
						seen[k.kid] = name
					}
				}
			}
		}
	}
}

func TestRenew(t *testing.T) {
	a := newAuthority(t, EdDSA)
	start := time.Now().Truncate(time.Second)
	_, c, err := a.Mint(letian, Grant{Via: "htpasswd", Permanent: true}, start)
	if err != nil {
		t.Fatal(err)
	}
	if a.Due(c, start.Add(29*time.Minute)) {
		t.Error("due before half of the idle limit")
	}
	if !a.Due(c, start.Add(36*time.Minute+time.Second)) {
		t.Error("not due past half of the idle limit and the most jitter")
	}
	now := start
	for range 100 { // as an active user's browser does
		at := now.Add(40 * time.Minute)
		if !a.Due(c, at) {
			break
		}
		_, next, err := a.Renew(c, Identity{User: "letian", Groups: []string{"dev"}}, at)
		if err != nil {
			t.Fatal(err)
		}
		if next.SessionID != c.SessionID || next.AuthTime != c.AuthTime || !next.Permanent || next.Via != "htpasswd" {
			t.Fatalf("renewal changed the session: %v, %v", c, next)
		}
		if d := cmp.Diff([]string{"dev"}, next.Groups); d != "" {
			t.Fatalf("groups are not what is known now: %s", d)
		}
		c, now = next, at
	}
	if want := start.Add(24 * time.Hour); c.Expires != seconds(want) {
		t.Errorf("an active session ends at %v, want the absolute limit %v", c.Expires.Time(), want)
	}
	if a.Due(c, c.Expires.Time().Add(-time.Second)) {
		t.Error("due though the absolute limit does not move")
	}
	if _, m, _ := a.Mint(letian, Grant{Via: ViaToken}, start); a.Due(m, start.Add(50*time.Minute)) {
		t.Error("a machine client's token is due")
	}
}

func TestGrantNeverOutlivesTheAbsoluteLimit(t *testing.T) {
	a := newAuthority(t, EdDSA)
	at := time.Now().Truncate(time.Second)
	_, c, err := a.Mint(letian, Grant{Via: ViaToken, TTL: 1000 * time.Hour}, at)
	if err != nil || c.Expires != seconds(at.Add(24*time.Hour)) {
		t.Errorf("ends at %v, %v; want after 24 h", c.Expires.Time(), err)
	}
}

func TestMintRefuses(t *testing.T) {
	a := newAuthority(t, EdDSA)
	many := make([]string, 400)
	for i := range many {
		many[i] = fmt.Sprintf("group-%04d", i)
	}
	for _, tc := range []struct {
		reason string
		id     Identity
		want   error
	}{
		{"no user", Identity{}, ErrIdentity},
		{"a header would end", Identity{User: "a\r\nRemote-User: root"}, ErrIdentity},
		{"NUL", Identity{User: "a\x00"}, ErrIdentity},
		{"not UTF-8", Identity{User: "a\xff"}, ErrIdentity},
		{"two spellings of one name", Identity{User: "e\u0301"}, ErrIdentity},
		{"text direction", Identity{User: "a\u202eb"}, ErrIdentity},
		{"looks like another", Identity{User: " letian"}, ErrIdentity},
		{"too long", Identity{User: strings.Repeat("a", 256)}, ErrIdentity},
		{"reads as two groups", Identity{User: "a", Groups: []string{"dev,admin"}}, ErrIdentity},
		{"empty group", Identity{User: "a", Groups: []string{""}}, ErrIdentity},
		{"control character in an e-mail", Identity{User: "a", Email: "a\n@b"}, ErrIdentity},
		{"does not fit in a cookie", Identity{User: "a", Groups: many}, ErrTooLarge},
	} {
		if _, _, err := a.Mint(tc.id, Grant{}, time.Now()); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.reason, err, tc.want)
		}
	}
	for _, user := range []string{"letian", "乐天", "Jean Dupont", "o'neil@example.com", "\u00e9"} {
		if _, _, err := a.Mint(Identity{User: user}, Grant{}, time.Now()); err != nil {
			t.Errorf("%q: %v", user, err)
		}
	}
}

func TestJWKSKeepsHMACKeysHome(t *testing.T) {
	jwks, _, err := newAuthority(t, HS256).JWKS(time.Now())
	if err != nil || string(jwks) != `{"keys":[]}` {
		t.Errorf("HS256: %s, %v", jwks, err)
	}
	jwks, age, err := newAuthority(t, EdDSA).JWKS(time.Now())
	if err != nil || strings.Contains(string(jwks), `"d"`) || strings.Count(string(jwks), `"kid"`) < 2 || age <= 0 {
		t.Errorf("EdDSA: %s, %v, %v", jwks, age, err)
	}
}

// Nothing that we did not sign passes. Ed25519 leaves no freedom, so the one
// token that verifies is the one that was made; it is the same in every
// process of the fuzzer.
func FuzzToken(f *testing.F) {
	a := newAuthority(f, EdDSA)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	raw, _, err := a.sign(Claims{SessionID: "fixed", AuthTime: seconds(at), Via: "name"}, letian, time.Hour, at)
	if err != nil {
		f.Fatal(err)
	}
	head, rest, _ := strings.Cut(raw, ".")
	body, sig, _ := strings.Cut(rest, ".")
	f.Add(head, body, sig)
	f.Add(head, body, "")
	f.Add("eyJhbGciOiJub25lIn0", body, sig)
	f.Add("", "", "")
	f.Add(strings.Repeat("A", 5000), body, sig)
	f.Add(head+"=", body, sig)
	f.Add("bnVsbA", "bnVsbA", "bnVsbA")
	f.Fuzz(func(t *testing.T, h, b, s string) {
		for _, token := range []string{h + "." + b + "." + s, head + "." + b + "." + s, head + "." + body + "." + s, h + "." + body + "." + sig} {
			if c, err := a.Verify(token, at); err == nil && token != raw {
				t.Fatalf("accepted %q as %v", token, c)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range algorithms {
		a := newAuthority(b, alg)
		raw, _, err := a.Mint(letian, Grant{}, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Verify(raw, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
