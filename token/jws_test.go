package token

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// keyFromJWK is a key of ours with the material of a test vector; false for
// algorithms that we do not have.
func keyFromJWK(t *testing.T, raw json.RawMessage) (*key, bool) {
	t.Helper()
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(raw, &jwk); err != nil {
		t.Fatalf("jwk: %v", err)
	}
	k := &key{kid: jwk.KeyID, public: jwk.Key}
	if !jwk.IsPublic() && jwk.Public().Key != nil {
		k.public = jwk.Public().Key
	}
	var kind struct{ Kty, Crv, Alg string }
	if err := json.Unmarshal(raw, &kind); err != nil {
		t.Fatal(err)
	}
	switch {
	case kind.Kty == "oct" && (kind.Alg == "HS256" || kind.Alg == ""):
		k.alg, k.method = HS256, jwt.SigningMethodHS256
	case kind.Crv == "P-256":
		k.alg, k.method = ES256, jwt.SigningMethodES256
	case kind.Crv == "Ed25519":
		k.alg, k.method = EdDSA, jwt.SigningMethodEdDSA
	default:
		return nil, false
	}
	return k, true
}

// open is what Verify does to a token below its claims.
func open(raw string, keys map[string]*key) error {
	head, body, sig, err := split(raw)
	if err != nil {
		return err
	}
	_, k, err := readHeader(head, keys)
	if err != nil {
		return err
	}
	_, err = k.open(raw, body, sig)
	return err
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func TestWycheproof(t *testing.T) {
	var file struct {
		TestGroups []struct {
			Comment         string
			Private, Public json.RawMessage
			Tests           []struct {
				TcID    int
				Comment string
				JWS     json.RawMessage
				Result  string
			}
		}
	}
	readJSON(t, "testdata/wycheproof/json_web_crypto_test.json", &file)
	ran := 0
	for _, g := range file.TestGroups {
		// The others are RSA, JWE, or about key sets that we never read.
		if g.Comment != "jws_aes" && g.Comment != "jws_ec" {
			continue
		}
		jwk := g.Public
		if jwk == nil {
			jwk = g.Private
		}
		k, ok := keyFromJWK(t, jwk)
		if !ok {
			t.Fatalf("group %s has no key of ours", g.Comment)
		}
		for _, tc := range g.Tests {
			var raw string
			if json.Unmarshal(tc.JWS, &raw) != nil {
				raw = string(tc.JWS) // a JSON serialisation
			}
			err := open(raw, map[string]*key{k.kid: k})
			if (err == nil) != (tc.Result == "valid") {
				t.Errorf("%s %d %s: %s, got error %v", g.Comment, tc.TcID, tc.Comment, tc.Result, err)
			}
			ran++
		}
	}
	if ran != 32 {
		t.Errorf("ran %d vectors, the file has 32 that fit", ran)
	}
}

func TestRFCExamples(t *testing.T) {
	var examples []struct {
		ID         string
		Valid      bool
		JWK        json.RawMessage
		JWS        string
		Thumbprint string `json:"thumbprint_sha256"`
	}
	readJSON(t, "testdata/jose/jose-rfc-examples.json", &examples)
	valid := 0
	for _, e := range examples {
		if e.JWS == "" {
			continue // thumbprints: TestThumbprint
		}
		keys := map[string]*key{} // the examples have no kid
		ours := false
		if e.JWK != nil {
			var k *key
			if k, ours = keyFromJWK(t, e.JWK); ours {
				keys[""] = k
			}
		}
		err := open(e.JWS, keys)
		if want := e.Valid && ours; (err == nil) != want {
			t.Errorf("%s: accepted %v, want %v (%v)", e.ID, err == nil, want, err)
		}
		if err == nil {
			valid++
		}
	}
	if valid != 3 {
		t.Errorf("%d examples accepted, want HS256, ES256 and EdDSA", valid)
	}
}

// The IETF cookbook has each JWS also as JSON; a compact-only verifier takes
// none of those, nor detached or unencoded content.
func TestCookbook(t *testing.T) {
	files, err := filepath.Glob("testdata/jose/*/*.json")
	if err != nil || len(files) != 11 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		var c struct {
			Input  struct{ Key json.RawMessage }
			Output map[string]json.RawMessage
		}
		readJSON(t, name, &c)
		keys := map[string]*key{}
		if !strings.HasPrefix(string(c.Input.Key), "[") {
			if k, ok := keyFromJWK(t, c.Input.Key); ok {
				keys[k.kid] = k
			}
		}
		for form, out := range c.Output {
			raw := string(out)
			if form == "compact" {
				if err := json.Unmarshal(out, &raw); err != nil {
					t.Fatal(err)
				}
			}
			want := form == "compact" && len(keys) == 1 &&
				!strings.Contains(name, "detached") && !strings.Contains(name, "b64_false")
			if err := open(raw, keys); (err == nil) != want {
				t.Errorf("%s, %s: accepted %v, want %v (%v)", filepath.Base(name), form, err == nil, want, err)
			}
		}
	}
}

func TestThumbprint(t *testing.T) {
	var examples []struct {
		ID         string
		JWK        jose.JSONWebKey
		Thumbprint string `json:"thumbprint_sha256"`
	}
	readJSON(t, "testdata/jose/jose-rfc-examples.json", &examples)
	for _, e := range examples {
		if e.Thumbprint == "" {
			continue
		}
		if got, err := thumbprint(e.JWK.Key); err != nil || got != e.Thumbprint {
			t.Errorf("%s: %s, %v; want %s", e.ID, got, err, e.Thumbprint)
		}
	}
}
