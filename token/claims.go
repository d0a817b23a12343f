package token

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Issuer is the iss of every token.
const Issuer = "authsvc"

// Claims is the content of a session token. What Verify returns has a subject,
// a session id, and all four instants; it is shared by every request with that
// token and must not be changed.
type Claims struct {
	Subject   string   `json:"sub"`
	SessionID string   `json:"sid"`       // stays the same when the session is renewed
	Via       string   `json:"via"`       // the sign-in method
	AuthTime  Seconds  `json:"auth_time"` // when the password was given (OpenID Connect Core §2)
	Issued    Seconds  `json:"iat"`
	NotBefore Seconds  `json:"nbf"`
	Expires   Seconds  `json:"exp"`
	Permanent bool     `json:"permanent,omitempty"`
	Name      string   `json:"name,omitempty"`
	Email     string   `json:"email,omitempty"`
	Groups    []string `json:"groups,omitempty"`
}

// Seconds is a NumericDate (RFC 7519 §2) of whole seconds since 1970. It is a
// number and not a time.Time because a hundred thousand sessions are kept.
type Seconds int64

// Time is s as a time.
func (s Seconds) Time() time.Time { return time.Unix(int64(s), 0) }

func seconds(t time.Time) Seconds          { return Seconds(t.Unix()) }
func wholeSeconds(d time.Duration) Seconds { return Seconds(d / time.Second) }

// Identity is who the claims are about.
func (c *Claims) Identity() Identity {
	return Identity{User: c.Subject, Name: c.Name, Email: c.Email, Groups: c.Groups}
}

// wire is a token's payload: the claims and whose and what they are for.
type wire struct {
	Issuer   string   `json:"iss"`
	Audience []string `json:"aud"`
	bare
}

// bare is Claims without its method, which would make wire marshal itself.
type bare Claims

// MarshalJSON writes the claims as they are in a session token.
func (c *Claims) MarshalJSON() ([]byte, error) { return c.payload(Session) }

func (c *Claims) payload(p Purpose) ([]byte, error) {
	return json.Marshal(wire{Issuer, []string{p.audience()}, bare(*c)})
}

// readPayload reads the claims of a payload that is for a purpose. Whether
// they hold at an instant is asked by valid.
func readPayload(payload []byte, p Purpose) (*Claims, error) {
	var w wire
	if err := json.Unmarshal(payload, &w); err != nil {
		return nil, fmt.Errorf("%w: claims: %w", ErrMalformed, err)
	}
	switch c := &w.bare; {
	case w.Issuer == "", len(w.Audience) == 0, c.Subject == "", c.SessionID == "", // never an allowance without a subject
		c.AuthTime <= 0, c.Issued <= 0, c.NotBefore <= 0, c.Expires <= 0:
		return nil, ErrClaims
	case w.Issuer != Issuer || !slices.Contains(w.Audience, p.audience()):
		return nil, fmt.Errorf("%w: iss or aud", ErrPurpose)
	}
	c := Claims(w.bare)
	c.Groups = slices.Clone(c.Groups) // the decoder leaves room to grow, up to twice as much
	return &c, nil
}

// valid reports why the claims do not hold at an instant. It is asked at every
// check, of remembered tokens too.
func (c *Claims) valid(at time.Time, max time.Duration) error {
	now := seconds(at)
	switch {
	case now >= c.Expires, now >= c.AuthTime+wholeSeconds(max): // the limit may be shorter than when it was signed
		return ErrExpired
	case now < c.NotBefore:
		return ErrNotYetValid
	}
	return nil
}
