package token

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What is remembered is the whole token: a token that differs from one that was
// accepted in a single byte, anywhere, is not it.
func TestRememberedTokenIsTheWholeToken(t *testing.T) {
	for _, alg := range algorithms {
		a := newAuthority(t, alg)
		raw, _, err := a.Mint(letian, Grant{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Verify(raw, time.Now()); err != nil {
			t.Fatal(err)
		}
		for i := range len(raw) {
			other := raw[:i] + string(raw[i]^1) + raw[i+1:]
			if _, err := a.Verify(other, time.Now()); err == nil {
				t.Fatalf("%s: accepted with byte %d changed", alg, i)
			}
		}
		for _, other := range []string{raw + "A", raw[:len(raw)-1], "", raw + raw, strings.ToUpper(raw)} {
			if _, err := a.Verify(other, time.Now()); err == nil {
				t.Fatalf("%s: accepted %q", alg, other)
			}
		}
	}
}

// Remembering a token must not make it live longer: what ends it is asked anew.
func TestRememberedTokenEnds(t *testing.T) {
	start := time.Now().Truncate(time.Second)
	for _, tc := range []struct {
		name string
		end  func(*Authority) time.Time // makes it end, and returns when to ask
		want error
	}{
		{"by its exp", func(*Authority) time.Time { return start.Add(time.Hour) }, ErrExpired},
		{"by a clock set back", func(*Authority) time.Time { return start.Add(-2 * time.Minute) }, ErrNotYetValid},
		{"by its key's retirement", func(*Authority) time.Time { return start.Add(72 * time.Hour) }, ErrUnknownKey},
		{"by its secret's removal", func(a *Authority) time.Time {
			if err := a.SetSecrets([]Secret{mustSecret(t, secretB, time.Time{})}, time.Now()); err != nil {
				t.Fatal(err)
			}
			return start
		}, ErrUnknownKey},
		{"by a shorter absolute limit", func(a *Authority) time.Time { a.max = time.Minute; return start.Add(time.Minute) }, ErrExpired},
		{"by revocation", func(a *Authority) time.Time {
			a.revoked = func(c *Claims) bool { return c.Subject == "letian" }
			return start
		}, ErrRevoked},
	} {
		a := newAuthority(t, EdDSA)
		raw, _, err := a.Mint(letian, Grant{}, start)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := a.Verify(raw, start); err != nil {
				t.Fatal(err)
			}
		}
		at := tc.end(a)
		if _, err := a.Verify(raw, at); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

// Neither forged nor expired tokens take a place; many good ones are kept, and
// a flood of them ends in refusing none.
func TestMemoryIsBounded(t *testing.T) {
	a := newAuthority(t, HS256)
	kept := func() (n int) {
		for i := range a.seen.table {
			if places := a.seen.table[i].Load(); places != nil {
				for j := range places {
					if places[j].Load() != nil {
						n++
					}
				}
			}
		}
		return n
	}
	raw, _, err := a.Mint(letian, Grant{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		a.Verify(fmt.Sprintf("%s%04d", raw[:len(raw)-4], i), time.Now())
	}
	if _, err := a.Verify(raw, time.Now().Add(2*time.Hour)); !errors.Is(err, ErrExpired) {
		t.Fatal(err)
	}
	many, _, err := a.Mint(Identity{User: "letian", Groups: slices.Repeat([]string{"g"}, 400)}, Grant{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(many, time.Now()); err != nil {
		t.Fatal(err)
	}
	if n := kept(); n != 0 {
		t.Fatalf("%d tokens that are forged, expired or very large are remembered", n)
	}
	now := time.Now()
	for i := range 100_000 {
		raw, _, err := a.Mint(Identity{User: fmt.Sprint("user", i), Groups: []string{"staff"}}, Grant{Via: "htpasswd"}, now)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := a.Verify(raw, now); err != nil || c.Subject != fmt.Sprint("user", i) {
			t.Fatal(c, err)
		}
	}
	if n := kept(); n < 99_000 {
		t.Errorf("of 100,000 tokens %d are remembered", n)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	t.Logf("%d bytes of heap with 100,000 remembered tokens", m.HeapAlloc)
}

// Beyond the bound nothing more is kept, and what was counted is what is there.
func TestMemoryIsBoundedByBytes(t *testing.T) {
	m, err := newMemory()
	if err != nil {
		t.Fatal(err)
	}
	k, name := &key{kid: "k"}, strings.Repeat("n", 255)
	for i := range 100_000 {
		t := tag{}
		binary.LittleEndian.PutUint64(t[:], uint64(i)*0x9e3779b97f4a7c15)
		m.keep(t, &Claims{Subject: name, Name: name, Email: name, Expires: Seconds(i)}, k)
	}
	sum := int64(0)
	for i := range m.table {
		if places := m.table[i].Load(); places != nil {
			for j := range places {
				sum += places[j].Load().cost()
			}
		}
	}
	if used := m.used.Load(); used != sum || sum > maxTotal || sum < maxTotal/2 {
		t.Errorf("%d bytes counted, %d kept, at most %d", used, sum, maxTotal)
	}
}

// A token pushed out of a full set is verified again, not refused.
func TestFullSet(t *testing.T) {
	m, err := newMemory()
	if err != nil {
		t.Fatal(err)
	}
	k := &key{kid: "k"}
	set := &keyset{byKID: map[string]*key{"k": k}}
	for i := range ways + 1 {
		m.keep(tag{15: byte(i)}, &Claims{Subject: fmt.Sprint(i), Expires: Seconds(100 - i)}, k)
	}
	found := 0
	for i := range ways + 1 {
		if c, _ := m.find(tag{15: byte(i)}, set); c != nil {
			found++
			if c.Subject != fmt.Sprint(i) {
				t.Errorf("%d is %s", i, c.Subject)
			}
		}
	}
	if c, _ := m.find(tag{15: ways - 1}, set); found != ways || c != nil {
		t.Errorf("%d of %d found, and what would end first is still there: %v", found, ways, c)
	}
}

func TestVerifyOfARememberedTokenDoesNotAllocate(t *testing.T) {
	a := newAuthority(t, EdDSA)
	raw, _, err := a.Mint(letian, Grant{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a.Verify(raw, time.Now())
	if n := testing.AllocsPerRun(1000, func() { a.Verify(raw, time.Now()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Many sessions verified at once by many goroutines, with the secret replaced
// among them: each gets its own claims or a refusal, never another's.
func TestNoSessionIsMixedUp(t *testing.T) {
	a := newAuthority(t, HS256)
	var raws []string
	for i := range 200 {
		raw, _, err := a.Mint(Identity{User: fmt.Sprint(i)}, Grant{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		raws = append(raws, raw)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				for i, raw := range raws {
					if c, err := a.Verify(raw, time.Now()); err == nil && c.Subject != fmt.Sprint(i) {
						t.Errorf("session %d is %s", i, c.Subject)
					}
				}
			}
		})
	}
	for i := range 20 {
		a.SetSecrets([]Secret{mustSecret(t, []string{secretB, secretA}[i%2], time.Time{})}, time.Now())
	}
	wg.Wait()
}

// What a first sight may cost is measured against the bare signature check.
func BenchmarkFirstSight(b *testing.B) {
	for _, alg := range algorithms {
		a := newAuthority(b, alg)
		raw, _, err := a.Mint(letian, Grant{}, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		set, err := a.ring.at(time.Now())
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c, k, err := a.read(raw, set)
				if err != nil {
					b.Fatal(err)
				}
				a.seen.keep(a.seen.tag(raw), c, k)
			}
		})
		b.Run(string(alg)+"/signature alone", func(b *testing.B) {
			_, _, sig, _ := split(raw)
			bytes, _ := strict.DecodeString(sig)
			input := raw[:len(raw)-len(sig)-1]
			b.ReportAllocs()
			for b.Loop() {
				if err := set.signing.method.Verify(input, bytes, set.signing.public); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
