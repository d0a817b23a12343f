package token

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// MaxLen is the most bytes a token may have: the size of the cookie that
// carries it. It is asked before anything is decoded.
const MaxLen = 4096

// header is what we read of a JOSE header. jwk, jku, x5u and x5c are not read:
// a key comes from our secret or not at all (RFC 8725 §3.10).
type header struct {
	Alg  string          `json:"alg"`
	Kid  string          `json:"kid"`
	Typ  string          `json:"typ"`
	Crit json.RawMessage `json:"crit,omitempty"`
	B64  json.RawMessage `json:"b64,omitempty"`
}

// strict refuses the spare bits that would give one token two spellings.
var strict = base64.RawURLEncoding.Strict()

// open checks the signature layer of a JWS in compact serialisation (RFC 7515
// §5.2), cheap checks first: size, shape, the key the header names, that the
// header's algorithm is that key's, and only then the signature. What the
// payload says is not looked at.
func open(raw string, keys map[string]*key) (header, *key, []byte, error) {
	var h header
	if len(raw) > MaxLen {
		return h, nil, nil, ErrTooLarge
	}
	head, rest, _ := strings.Cut(raw, ".")
	body, tail, ok := strings.Cut(rest, ".")
	if !ok || head == "" || body == "" || tail == "" || strings.Contains(tail, ".") {
		return h, nil, nil, fmt.Errorf("%w: not three parts", ErrMalformed)
	}
	text, err := strict.DecodeString(head)
	if err != nil {
		return h, nil, nil, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return h, nil, nil, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	if h.Crit != nil || h.B64 != nil {
		// RFC 7515 §4.1.11: extensions we do not know must be refused, and
		// we know none. b64 (RFC 7797) must not even appear without crit.
		return h, nil, nil, fmt.Errorf("%w: header has crit or b64", ErrMalformed)
	}
	k, ok := keys[h.Kid]
	if !ok {
		return h, nil, nil, ErrUnknownKey
	}
	if h.Alg != string(k.alg) {
		return h, nil, nil, ErrAlgorithm
	}
	sig, err := strict.DecodeString(tail)
	if err != nil {
		return h, nil, nil, fmt.Errorf("%w: signature: %w", ErrMalformed, err)
	}
	if err := k.method.Verify(raw[:len(head)+1+len(body)], sig, k.public); err != nil {
		return h, nil, nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	payload, err := strict.DecodeString(body)
	if err != nil {
		return h, nil, nil, fmt.Errorf("%w: payload: %w", ErrMalformed, err)
	}
	return h, k, payload, nil
}

// seal signs claims as a JWS in compact serialisation.
func seal(k *key, typ string, claims any) (string, error) {
	head, err := json.Marshal(header{Alg: string(k.alg), Kid: k.kid, Typ: typ})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	input := strict.EncodeToString(head) + "." + strict.EncodeToString(body)
	sig, err := k.method.Sign(input, k.private)
	if err != nil {
		return "", err
	}
	return input + "." + strict.EncodeToString(sig), nil
}
