package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Purpose tells kinds of token apart. Each has keys, a typ and an audience of
// its own, so that none can be taken for another (RFC 8725 §3.11, §3.12).
type Purpose string

// Session is the purpose of the tokens that sessions are kept in.
const Session Purpose = "session"

func (p Purpose) typ() string      { return "authsvc-" + string(p) + "+jwt" }
func (p Purpose) audience() string { return "authsvc-" + string(p) }

// span is the life of a key: published, then signing, then only verifying,
// then forgotten. A key is in the JWKS before anyone may meet a token of it.
type span struct {
	publish, sign, until, retire time.Time
}

// id names a key before it is derived.
type id struct {
	secret string
	epoch  int64
}

// timetable says which keys live at an instant: the pure core of rotation.
//
// Time is cut into periods of rotation since the Unix epoch. In each the
// newest secret whose instant has come signs with the key of that period. A
// key is published one rotation before it signs and verifies for life after
// it stopped, which is as long as the last token it signed can be valid.
func timetable(secrets []Secret, rotation, life time.Duration, at time.Time) map[id]span {
	live := map[id]span{}
	step := int64(rotation / time.Second)
	first := at.Add(-life).Unix()/step - 1
	last := at.Add(rotation).Unix()/step + 1
	for i, s := range secrets {
		until := time.Unix(math.MaxInt32*int64(1000), 0) // no successor yet
		if i+1 < len(secrets) {
			until = secrets[i+1].SignsFrom
		}
		for epoch := first; epoch <= last; epoch++ {
			t := span{
				sign:  later(time.Unix(epoch*step, 0), s.SignsFrom),
				until: earlier(time.Unix((epoch+1)*step, 0), until),
			}
			t.publish = t.sign.Add(-rotation)
			t.retire = t.until.Add(life)
			if t.sign.Before(t.until) && !at.Before(t.publish) && at.Before(t.retire) {
				live[id{s.value, epoch}] = t
			}
		}
	}
	return live
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// keyset is what a Keyring knows between two instants of its timetable. It is
// not changed once made.
type keyset struct {
	from, to time.Time
	signing  *key // nil before the first secret's instant
	byKID    map[string]*key
	byHead   map[string]*key
	ordered  []*key // by the instant they sign from
	jwks     []byte
}

// keyring derives the keys of one purpose from the secrets, each when its time
// comes. All replicas with the same secrets and the same rotation have the
// same keys at the same time, with nothing between them.
type keyring struct {
	purpose  Purpose
	alg      Algorithm
	rotation time.Duration
	life     time.Duration

	current atomic.Pointer[keyset]
	mu      sync.Mutex // serialises making the next keyset
	secrets []Secret
	derived map[id]*key
}

// setSecrets replaces the secrets; on an error the old ones stay.
func (r *keyring) setSecrets(secrets []Secret, at time.Time) error {
	if len(secrets) == 0 {
		return errors.New("no secret")
	}
	secrets = slices.SortedFunc(slices.Values(secrets), func(a, b Secret) int { return a.SignsFrom.Compare(b.SignsFrom) })
	if first := secrets[0]; at.Before(first.SignsFrom) {
		return fmt.Errorf("no secret signs yet: the first does from %s", first.SignsFrom.Format(time.RFC3339))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	set, derived, err := r.build(secrets, at)
	if err != nil {
		return err
	}
	r.secrets, r.derived = secrets, derived
	r.current.Store(set)
	return nil
}

// at returns the keys of an instant. It makes them when the timetable has
// moved on, or the clock has moved back, and otherwise is one load.
func (r *keyring) at(t time.Time) (*keyset, error) {
	if set := r.current.Load(); !t.Before(set.from) && t.Before(set.to) {
		return set, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if set := r.current.Load(); !t.Before(set.from) && t.Before(set.to) {
		return set, nil
	}
	set, derived, err := r.build(r.secrets, t)
	if err != nil {
		return nil, err
	}
	r.derived = derived
	r.current.Store(set)
	return set, nil
}

func (r *keyring) build(secrets []Secret, at time.Time) (*keyset, map[id]*key, error) {
	set := &keyset{from: at.Add(-r.rotation), to: at.Add(r.rotation), byKID: map[string]*key{}, byHead: map[string]*key{}}
	derived := map[id]*key{}
	bound := func(t time.Time) { // the set holds until the next instant and since the last
		if t.After(at) {
			set.to = earlier(set.to, t)
		} else {
			set.from = later(set.from, t)
		}
	}
	// Keys that are not yet published bound the set too: the one after the
	// last live one is published when the next period begins.
	step := int64(r.rotation / time.Second)
	bound(time.Unix((at.Unix()/step)*step, 0))
	bound(time.Unix((at.Unix()/step+1)*step, 0))
	for _, s := range secrets {
		bound(s.SignsFrom)
		bound(s.SignsFrom.Add(-r.rotation))
	}
	for id, times := range timetable(secrets, r.rotation, r.life, at) {
		for _, t := range []time.Time{times.publish, times.sign, times.until, times.retire} {
			bound(t)
		}
		k := &key{}
		if old, ok := r.derived[id]; ok && old.times == times {
			k = old
		} else {
			secret := Secret{value: id.secret}
			fresh, err := derive(secret, r.alg, label(r.purpose, r.alg, r.rotation, id.epoch))
			if err != nil {
				return nil, nil, fmt.Errorf("derive key: %w", err)
			}
			fresh.times = times
			if fresh.head, err = encodeHeader(r.alg, fresh.kid, r.purpose.typ()); err != nil {
				return nil, nil, err
			}
			if ok {
				fresh.verified.Store(old.verified.Load())
			}
			k = fresh
		}
		derived[id] = k
		set.byKID[k.kid] = k
		set.byHead[k.head] = k
		set.ordered = append(set.ordered, k)
		if !at.Before(times.sign) && at.Before(times.until) {
			set.signing = k
		}
	}
	slices.SortFunc(set.ordered, func(a, b *key) int { return a.times.sign.Compare(b.times.sign) })
	jwks := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	if r.alg != HS256 { // its verifying key is the signing key
		for _, k := range set.ordered {
			jwks.Keys = append(jwks.Keys, jose.JSONWebKey{Key: k.public, KeyID: k.kid, Algorithm: string(k.alg), Use: "sig"})
		}
	}
	var err error
	set.jwks, err = json.Marshal(jwks)
	return set, derived, err
}
