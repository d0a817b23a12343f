package token

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// MaxLen is the most bytes a token may have: the size of the cookie that
// carries it. It is asked before anything else.
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

// split takes a JWS in compact serialisation apart (RFC 7515 §7.1): cheap
// checks first, nothing is decoded.
func split(raw string) (head, body, sig string, err error) {
	head, rest, _ := strings.Cut(raw, ".")
	body, sig, _ = strings.Cut(rest, ".")
	if head == "" || body == "" || sig == "" || strings.Contains(sig, ".") {
		return "", "", "", fmt.Errorf("%w: not three parts", ErrMalformed)
	}
	return head, body, sig, nil
}

// readHeader finds the key that a header names and holds the header's
// algorithm against the key's: a key has one, whatever a token says.
func readHeader(head string, keys map[string]*key) (header, *key, error) {
	var h header
	text, err := strict.DecodeString(head)
	if err != nil {
		return h, nil, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return h, nil, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	if h.Crit != nil || h.B64 != nil {
		// RFC 7515 §4.1.11: extensions we do not know must be refused, and
		// we know none. b64 (RFC 7797) must not even appear without crit.
		return h, nil, fmt.Errorf("%w: header has crit or b64", ErrMalformed)
	}
	k, ok := keys[h.Kid]
	switch {
	case !ok:
		return h, nil, ErrUnknownKey
	case h.Alg != string(k.alg):
		return h, nil, ErrAlgorithm
	}
	return h, k, nil
}

// open checks the signature of raw, which split took apart, and returns the
// payload. What the payload says is not looked at.
func (k *key) open(raw, body, sig string) ([]byte, error) {
	s, err := strict.DecodeString(sig)
	if err != nil {
		return nil, fmt.Errorf("%w: signature: %w", ErrMalformed, err)
	}
	if err := k.method.Verify(raw[:len(raw)-len(sig)-1], s, k.public); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	payload, err := strict.DecodeString(body)
	if err != nil {
		return nil, fmt.Errorf("%w: payload: %w", ErrMalformed, err)
	}
	return payload, nil
}

// encodeHeader is the header of every token of one key and purpose.
func encodeHeader(alg Algorithm, kid, typ string) (string, error) {
	head, err := json.Marshal(header{Alg: string(alg), Kid: kid, Typ: typ})
	return strict.EncodeToString(head), err
}

// seal signs a payload under an encoded header.
func (k *key) seal(head string, payload []byte) (string, error) {
	input := head + "." + strict.EncodeToString(payload)
	sig, err := k.method.Sign(input, k.private)
	if err != nil {
		return "", err
	}
	return input + "." + strict.EncodeToString(sig), nil
}
