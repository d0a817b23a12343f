package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// Algorithm is a JWS algorithm (RFC 7518 §3.1, RFC 8037 §3.1). A key has one.
type Algorithm string

// The algorithms a session may be signed with.
const (
	EdDSA Algorithm = "EdDSA" // Ed25519
	ES256 Algorithm = "ES256"
	HS256 Algorithm = "HS256" // nothing to publish: only holders of the secret can verify
)

// UnmarshalText takes the names of RFC 7518, exactly.
func (a *Algorithm) UnmarshalText(text []byte) error {
	switch v := Algorithm(text); v {
	case EdDSA, ES256, HS256:
		*a = v
		return nil
	}
	return fmt.Errorf("unknown algorithm %q: write EdDSA, ES256 or HS256", text)
}

// key signs and verifies with one algorithm, whatever a token's header says.
type key struct {
	kid     string
	alg     Algorithm
	method  jwt.SigningMethod
	private any
	public  any
	head    string // the encoded header of its tokens
	times   span

	verified atomic.Uint64 // tokens accepted under this key
}

// label is the HKDF info of the key of one period. Everything that tells one
// key from another is in it, so that no two uses of a secret share a key:
// the purpose (a state token must never open a session), the algorithm (RFC
// 8725 §3.1), and the length as well as the number of the period, because
// period 7 of one length is another time than period 7 of another.
func label(purpose Purpose, alg Algorithm, rotation time.Duration, epoch int64) string {
	return fmt.Sprintf("authsvc/v1/%s/%s/%d/%d", purpose, alg, int64(rotation/time.Second), epoch)
}

// derive makes the key that info names from a master secret by HKDF-SHA256
// (RFC 5869) without salt: the secret is random or the operator's loss.
func derive(secret Secret, alg Algorithm, info string) (*key, error) {
	expand := func(info string, n int) ([]byte, error) {
		return hkdf.Key(sha256.New, []byte(secret.value), nil, info, n)
	}
	k := &key{alg: alg}
	switch alg {
	case EdDSA:
		seed, err := expand(info, ed25519.SeedSize)
		if err != nil {
			return nil, err
		}
		private := ed25519.NewKeyFromSeed(seed)
		k.method, k.private, k.public = jwt.SigningMethodEdDSA, private, private.Public()
	case ES256:
		// FIPS 186-5 A.2.1: 128 bits more than the order, reduced. The
		// bias is below 2^-128 and there is no retry to get wrong.
		wide, err := expand(info, 48)
		if err != nil {
			return nil, err
		}
		n1 := new(big.Int).Sub(elliptic.P256().Params().N, big.NewInt(1))
		d := new(big.Int).SetBytes(wide)
		d.Mod(d, n1).Add(d, big.NewInt(1))
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d.FillBytes(make([]byte, 32)))
		if err != nil {
			return nil, err
		}
		k.method, k.private, k.public = jwt.SigningMethodES256, private, private.Public()
	case HS256:
		mac, err := expand(info, 32)
		if err != nil {
			return nil, err
		}
		k.method, k.private, k.public = jwt.SigningMethodHS256, mac, mac
		// A thumbprint would be a plain hash of the key, and every token
		// carries the kid; another HKDF output says nothing of the key.
		id, err := expand(info+"/kid", 16)
		if err != nil {
			return nil, err
		}
		k.kid = base64.RawURLEncoding.EncodeToString(id)
		return k, nil
	default:
		return nil, fmt.Errorf("unknown algorithm %q", alg)
	}
	var err error
	k.kid, err = thumbprint(k.public)
	return k, err
}

// thumbprint names a public key by its RFC 7638 hash.
func thumbprint(public any) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(sum), err
}
