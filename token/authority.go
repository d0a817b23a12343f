package token

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/fnv"
	"time"
)

// Why a token was not accepted. Each is a reason that a caller may count;
// none is more than "not signed in" to the person who sent it.
var (
	ErrTooLarge    = errors.New("token is larger than a cookie can be")
	ErrMalformed   = errors.New("token is malformed")
	ErrUnknownKey  = errors.New("token names a key that is not in use")
	ErrAlgorithm   = errors.New("token names another algorithm than its key has")
	ErrSignature   = errors.New("token has a wrong signature")
	ErrPurpose     = errors.New("token is for another purpose")
	ErrClaims      = errors.New("token lacks a claim")
	ErrExpired     = errors.New("token has expired")
	ErrNotYetValid = errors.New("token is not valid yet")
	ErrRevoked     = errors.New("session was revoked")
)

// ErrNoKey means that the clock stands before the first secret's instant.
var ErrNoKey = errors.New("no key signs at this time")

// Skew is how far the clocks of two replicas may be apart: a token is valid
// from so long before it was signed. Expiry has no such grace.
const Skew = time.Minute

// ViaToken is the sign-in method of tokens for machine clients. They are not
// renewed: there is no cookie to put the next one in.
const ViaToken = "token"

// Grant is what a new session is given beside an identity.
type Grant struct {
	Via       string        // the sign-in method
	Permanent bool          // the cookie is to outlive the browser
	TTL       time.Duration // zero: the configured idle limit; never beyond the absolute one
}

// Config is what an Authority is made of.
type Config struct {
	Algorithm Algorithm
	Secrets   []Secret      // at least one whose instant has come
	Rotation  time.Duration // how long a key signs; whole seconds
	TTL       time.Duration // idle limit: how long a token is valid after it was signed
	Max       time.Duration // absolute limit: how long after sign-in a session may last; at least TTL
	// Revoked is asked at every check whether a session that is valid by
	// itself has been taken back. It must be quick and not change the claims. Optional.
	Revoked func(*Claims) bool
}

// Authority signs and verifies session tokens. It is safe for concurrent use.
type Authority struct {
	ring     *keyring
	ttl, max time.Duration
	revoked  func(*Claims) bool
	seen     *memory
}

// New checks cfg and derives the keys of that instant.
func New(cfg Config, at time.Time) (*Authority, error) {
	if cfg.Rotation < time.Second || cfg.Rotation%time.Second != 0 {
		return nil, fmt.Errorf("rotation %v: must be whole seconds", cfg.Rotation)
	}
	if cfg.TTL < time.Second || cfg.Max < cfg.TTL {
		return nil, fmt.Errorf("idle limit %v and absolute limit %v: must be a second or more, the absolute one not the shorter", cfg.TTL, cfg.Max)
	}
	seen, err := newMemory()
	if err != nil {
		return nil, fmt.Errorf("memory of tokens: %w", err)
	}
	a := &Authority{ttl: cfg.TTL, max: cfg.Max, revoked: cfg.Revoked, seen: seen, ring: &keyring{
		purpose: Session, alg: cfg.Algorithm, rotation: cfg.Rotation,
		// No token outlives Max, so a key that stopped signing so long ago
		// has nothing left to verify.
		life: cfg.Max,
	}}
	return a, a.SetSecrets(cfg.Secrets, at)
}

// SetSecrets replaces the master secrets while running. On an error the old
// ones stay in force.
func (a *Authority) SetSecrets(secrets []Secret, at time.Time) error {
	return a.ring.setSecrets(secrets, at)
}

// Mint signs a new session for id. The error wraps [ErrIdentity] if id is not
// fit to be signed, [ErrTooLarge] if the token would be longer than [MaxLen].
func (a *Authority) Mint(id Identity, g Grant, at time.Time) (string, *Claims, error) {
	sid := make([]byte, 16)
	rand.Read(sid) // never fails since Go 1.24
	ttl := a.ttl
	if g.TTL > 0 {
		ttl = g.TTL
	}
	return a.sign(Claims{
		SessionID: base64.RawURLEncoding.EncodeToString(sid),
		AuthTime:  seconds(at),
		Via:       g.Via,
		Permanent: g.Permanent,
	}, id, ttl, at)
}

// Renew signs the session of c again, with its limit moved and with what is
// now known of its user. The session id and the absolute limit stay.
func (a *Authority) Renew(c *Claims, id Identity, at time.Time) (string, *Claims, error) {
	return a.sign(*c, id, a.ttl, at)
}

// sign completes c and signs it.
func (a *Authority) sign(c Claims, id Identity, ttl time.Duration, at time.Time) (string, *Claims, error) {
	if err := id.Valid(); err != nil {
		return "", nil, err
	}
	set, err := a.ring.at(at)
	if err != nil {
		return "", nil, err
	}
	if set.signing == nil {
		return "", nil, ErrNoKey
	}
	c.Subject, c.Name, c.Email, c.Groups = id.User, id.Name, id.Email, id.Groups
	c.Issued, c.NotBefore = seconds(at), seconds(at.Add(-Skew))
	c.Expires = min(seconds(at.Add(ttl)), c.AuthTime+wholeSeconds(a.max))
	payload, err := c.payload(a.ring.purpose)
	if err != nil {
		return "", nil, fmt.Errorf("sign session: %w", err)
	}
	raw, err := set.signing.seal(set.signing.head, payload)
	if err != nil {
		return "", nil, fmt.Errorf("sign session: %w", err)
	}
	if len(raw) > MaxLen {
		return "", nil, fmt.Errorf("%w: %d bytes, at most %d fit", ErrTooLarge, len(raw), MaxLen)
	}
	return raw, &c, nil
}

// Verify returns what a session token says if we signed it, as a session, with
// a key that is still in use, it is valid now, and nobody revoked it. The error
// wraps one of the sentinels above.
//
// A token whose signature was right is remembered, so that the next check of
// it is a look into memory. Everything that can change is asked again each
// time: the key, the clock, the revocations.
func (a *Authority) Verify(raw string, at time.Time) (*Claims, error) {
	if len(raw) > MaxLen {
		return nil, ErrTooLarge
	}
	set, err := a.ring.at(at)
	if err != nil {
		return nil, err
	}
	tag := a.seen.tag(raw)
	c, k := a.seen.find(tag, set)
	if c == nil {
		if c, k, err = a.read(raw, set); err != nil {
			return nil, err
		}
		if err := c.valid(at, a.max); err != nil {
			return nil, err // and not remembered: it would be in the place of one that is
		}
		a.seen.keep(tag, c, k)
	} else if err := c.valid(at, a.max); err != nil {
		return nil, err
	}
	if a.revoked != nil && a.revoked(c) {
		return nil, ErrRevoked
	}
	k.verified.Add(1)
	return c, nil
}

// read verifies the signature of a token that is not remembered and reads it.
func (a *Authority) read(raw string, set *keyset) (*Claims, *key, error) {
	head, body, sig, err := split(raw)
	if err != nil {
		return nil, nil, err
	}
	k := set.byHead[head] // as we write it; every other spelling is read
	if k == nil {
		var h header
		if h, k, err = readHeader(head, set.byKID); err != nil {
			return nil, nil, err
		}
		if h.Typ != a.ring.purpose.typ() {
			return nil, nil, fmt.Errorf("%w: typ", ErrPurpose)
		}
	}
	payload, err := k.open(raw, body, sig)
	if err != nil {
		return nil, nil, err
	}
	c, err := readPayload(payload, a.ring.purpose)
	return c, k, err
}

// Due reports whether a session should be renewed now: past half of its idle
// limit, if that would move its end at all. A little jitter, the same on every
// replica because it comes from the token, keeps sessions that began together
// from being renewed together for ever.
func (a *Authority) Due(c *Claims, at time.Time) bool {
	if age := seconds(at) - c.Issued; age < wholeSeconds(a.ttl/2) {
		return false // nearly every check ends here
	}
	if c.Via == ViaToken || c.AuthTime+wholeSeconds(a.max) <= c.Expires {
		return false
	}
	h := fnv.New32a()
	fmt.Fprint(h, c.SessionID, c.Issued)
	jitter := time.Duration(h.Sum32()%1000) * (a.ttl / 10) / 1000
	return at.Sub(c.Issued.Time()) >= a.ttl/2+jitter
}

// JWKS returns the public keys as a JSON Web Key Set (RFC 7517 §5), those to
// come and those still verifying included, and how long it may be kept. For
// HS256 the set is empty.
func (a *Authority) JWKS(at time.Time) ([]byte, time.Duration, error) {
	set, err := a.ring.at(at)
	if err != nil {
		return nil, 0, err
	}
	// A key is published one rotation before it signs, or as long before as
	// the operator dated a new secret ahead; minutes, by the documentation.
	return set.jwks, min(a.ring.rotation/2, 5*time.Minute), nil
}

// KeyState is where a key stands in its life.
type KeyState string

// The states of a key, in their order.
const (
	Published KeyState = "published" // in the JWKS, does not sign yet
	Signing   KeyState = "signing"
	Verifying KeyState = "verifying" // until its last token has expired
)

// KeyInfo describes a live key.
type KeyInfo struct {
	KID       string
	State     KeyState
	SignsFrom time.Time
	Retires   time.Time
	Verified  uint64 // tokens accepted under it by this process
}

// Keys lists the live keys by the instant they sign from.
func (a *Authority) Keys(at time.Time) []KeyInfo {
	set, err := a.ring.at(at)
	if err != nil {
		return nil
	}
	keys := make([]KeyInfo, 0, len(set.ordered))
	for _, k := range set.ordered {
		state := Verifying
		switch {
		case at.Before(k.times.sign):
			state = Published
		case at.Before(k.times.until):
			state = Signing
		}
		keys = append(keys, KeyInfo{k.kid, state, k.times.sign, k.times.retire, k.verified.Load()})
	}
	return keys
}
