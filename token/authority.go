package token

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/golang-jwt/jwt/v5"
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
)

// ErrNoKey means that the clock stands before the first secret's instant.
var ErrNoKey = errors.New("no key signs at this time")

// Issuer is the iss of every token.
const Issuer = "authsvc"

// Skew is how far the clocks of two replicas may be apart: a token is valid
// from so long before it was signed. Expiry has no such grace.
const Skew = time.Minute

// Claims is the content of a session token. What Verify returns has a subject,
// a session id, and all four instants.
type Claims struct {
	jwt.RegisteredClaims
	SessionID string           `json:"sid"`       // stays the same when the session is renewed
	AuthTime  *jwt.NumericDate `json:"auth_time"` // when the password was given (OpenID Connect Core §2)
	Via       string           `json:"via"`       // the sign-in method
	Permanent bool             `json:"permanent,omitempty"`
	Name      string           `json:"name,omitempty"`
	Email     string           `json:"email,omitempty"`
	Groups    []string         `json:"groups,omitempty"`
}

// Identity is who the claims are about.
func (c *Claims) Identity() Identity {
	return Identity{User: c.Subject, Name: c.Name, Email: c.Email, Groups: c.Groups}
}

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
}

// Authority signs and verifies session tokens. It is safe for concurrent use.
type Authority struct {
	ring     *keyring
	ttl, max time.Duration
}

// New checks cfg and derives the keys of this instant.
func New(cfg Config) (*Authority, error) {
	if cfg.Rotation < time.Second || cfg.Rotation%time.Second != 0 {
		return nil, fmt.Errorf("rotation %v: must be whole seconds", cfg.Rotation)
	}
	if cfg.TTL < time.Second || cfg.Max < cfg.TTL {
		return nil, fmt.Errorf("idle limit %v and absolute limit %v: must be a second or more, the absolute one not the shorter", cfg.TTL, cfg.Max)
	}
	a := &Authority{ttl: cfg.TTL, max: cfg.Max, ring: &keyring{
		purpose: Session, alg: cfg.Algorithm, rotation: cfg.Rotation,
		// No token outlives Max, so a key that stopped signing so long ago
		// has nothing left to verify.
		life: cfg.Max,
	}}
	return a, a.SetSecrets(cfg.Secrets)
}

// SetSecrets replaces the master secrets while running. On an error the old
// ones stay in force.
func (a *Authority) SetSecrets(secrets []Secret) error {
	return a.ring.setSecrets(secrets, time.Now())
}

// Mint signs a new session for id. The error wraps [ErrIdentity] if id is not
// fit to be signed, [ErrTooLarge] if the token would be longer than [MaxLen].
func (a *Authority) Mint(id Identity, g Grant) (string, *Claims, error) {
	return a.mint(id, g, time.Now())
}

func (a *Authority) mint(id Identity, g Grant, at time.Time) (string, *Claims, error) {
	sid := make([]byte, 16)
	rand.Read(sid) // never fails since Go 1.24
	ttl := a.ttl
	if g.TTL > 0 {
		ttl = g.TTL
	}
	return a.sign(&Claims{
		SessionID: base64.RawURLEncoding.EncodeToString(sid),
		AuthTime:  jwt.NewNumericDate(at),
		Via:       g.Via,
		Permanent: g.Permanent,
	}, id, ttl, at)
}

// Renew signs the session of c again, with its limit moved and with what is
// now known of its user. The session id and the absolute limit stay.
func (a *Authority) Renew(c *Claims, id Identity) (string, *Claims, error) {
	return a.renew(c, id, time.Now())
}

func (a *Authority) renew(c *Claims, id Identity, at time.Time) (string, *Claims, error) {
	next := *c
	return a.sign(&next, id, a.ttl, at)
}

// sign completes c and signs it.
func (a *Authority) sign(c *Claims, id Identity, ttl time.Duration, at time.Time) (string, *Claims, error) {
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
	c.RegisteredClaims = jwt.RegisteredClaims{
		Issuer:    Issuer,
		Subject:   id.User,
		Audience:  jwt.ClaimStrings{a.ring.purpose.audience()},
		ExpiresAt: jwt.NewNumericDate(earlier(at.Add(ttl), c.AuthTime.Add(a.max))),
		NotBefore: jwt.NewNumericDate(at.Add(-Skew)),
		IssuedAt:  jwt.NewNumericDate(at),
	}
	c.Name, c.Email, c.Groups = id.Name, id.Email, id.Groups
	raw, err := seal(set.signing, a.ring.purpose.typ(), c)
	if err != nil {
		return "", nil, fmt.Errorf("sign session: %w", err)
	}
	if len(raw) > MaxLen {
		return "", nil, fmt.Errorf("%w: %d bytes, at most %d fit", ErrTooLarge, len(raw), MaxLen)
	}
	return raw, c, nil
}

// Verify returns what a session token says if we signed it, as a session, with
// a key that is still in use, and it is valid now. The error wraps one of the
// sentinels above.
func (a *Authority) Verify(raw string) (*Claims, error) {
	return a.verify(raw, time.Now())
}

func (a *Authority) verify(raw string, at time.Time) (*Claims, error) {
	set, err := a.ring.at(at)
	if err != nil {
		return nil, err
	}
	h, k, payload, err := open(raw, set.byKID)
	if err != nil {
		return nil, err
	}
	if h.Typ != a.ring.purpose.typ() {
		return nil, fmt.Errorf("%w: typ", ErrPurpose)
	}
	c := &Claims{}
	if err := json.Unmarshal(payload, c); err != nil {
		return nil, fmt.Errorf("%w: claims: %w", ErrMalformed, err)
	}
	if err := a.valid(c, at); err != nil {
		return nil, err
	}
	k.verified.Add(1)
	return c, nil
}

// valid checks the claims of a token whose signature is right.
func (a *Authority) valid(c *Claims, at time.Time) error {
	err := jwt.NewValidator(
		jwt.WithTimeFunc(func() time.Time { return at }),
		jwt.WithExpirationRequired(),
		jwt.WithIssuer(Issuer),
		jwt.WithAudience(a.ring.purpose.audience()),
	).Validate(c.RegisteredClaims)
	switch {
	case errors.Is(err, jwt.ErrTokenInvalidIssuer), errors.Is(err, jwt.ErrTokenInvalidAudience):
		return fmt.Errorf("%w: %w", ErrPurpose, err)
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return fmt.Errorf("%w: %w", ErrClaims, err)
	case c.Subject == "" || c.SessionID == "" || c.AuthTime == nil || c.IssuedAt == nil || c.ExpiresAt == nil:
		return ErrClaims // never an allowance without a subject
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return ErrNotYetValid
	case err != nil:
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	case !at.Before(c.AuthTime.Add(a.max)):
		return ErrExpired // the absolute limit was made shorter since
	}
	return nil
}

// Due reports whether a session should be renewed now: past half of its idle
// limit, if that would move its end at all. A little jitter, the same on every
// replica because it comes from the token, keeps sessions that began together
// from being renewed together for ever.
func (a *Authority) Due(c *Claims) bool { return a.due(c, time.Now()) }

func (a *Authority) due(c *Claims, at time.Time) bool {
	if c.Via == ViaToken || !c.AuthTime.Add(a.max).After(c.ExpiresAt.Time) {
		return false
	}
	h := fnv.New32a()
	fmt.Fprint(h, c.SessionID, c.IssuedAt.Unix())
	jitter := time.Duration(h.Sum32()%1000) * (a.ttl / 10) / 1000
	return at.Sub(c.IssuedAt.Time) >= a.ttl/2+jitter
}

// JWKS returns the public keys as a JSON Web Key Set (RFC 7517 §5), those to
// come and those still verifying included, and how long it may be kept. For
// HS256 the set is empty.
func (a *Authority) JWKS() ([]byte, time.Duration, error) {
	set, err := a.ring.at(time.Now())
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
func (a *Authority) Keys() []KeyInfo {
	at := time.Now()
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
