package token

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"unsafe"
)

// memory remembers tokens whose signature was right, because a signature costs
// more than everything else about a check together. It never remembers one
// that was wrong: that would be at the cost of those that are right.
//
// It is a table of fixed size without a lock: a token has eight places where it
// may be, each an atomic pointer to an entry that never changes.
type memory struct {
	mac   cipher.AEAD
	nonce [12]byte
	tags  sync.Pool // of *[16]byte
	table [sets]atomic.Pointer[set]
	used  atomic.Int64 // bytes, by cost
}

// set is the places of the tokens whose tags begin alike. It is made when the
// first of them comes: the whole table at once was 2 MB for every collection
// of garbage to look through.
type set [ways]atomic.Pointer[entry]

// Of 100,000 tokens all but a few hundred have a place of their own here. What
// is kept is bounded by its size: a usual entry is about 280 bytes, one with
// many groups may be fifty times that and is verified anew each time.
const (
	sets = 1 << 15
	ways = 8

	maxEntry = 1 << 10  // bytes, by cost
	maxTotal = 40 << 20 // bytes, by cost; the table itself is up to 2 MB
)

// tag stands for a whole token, every byte of it: GMAC under a key that only
// this process has and never shows an output of. For any two tokens of at most
// MaxLen bytes the chance that they have one tag is below 2^-119, whatever
// they are and whoever chose them (NIST SP 800-38D §8; GHASH is a universal
// hash). Keeping the tokens themselves to compare would be twice the memory of
// all else in an entry.
type tag [16]byte

type entry struct {
	tag    tag
	key    *key
	claims *Claims
}

// cost estimates the bytes of an entry with what it points to.
func (e *entry) cost() int64 {
	if e == nil {
		return 0
	}
	c := e.claims
	n := 208 + len(c.Subject) + len(c.SessionID) + len(c.Via) + len(c.Name) + len(c.Email)
	for _, g := range c.Groups {
		n += 24 + len(g)
	}
	return int64(n)
}

func newMemory() (*memory, error) {
	secret := make([]byte, 16)
	rand.Read(secret) // never fails since Go 1.24
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	mac, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &memory{mac: mac, tags: sync.Pool{New: func() any { return new([16]byte) }}}, nil
}

func (m *memory) tag(raw string) tag {
	out := m.tags.Get().(*[16]byte)
	// The text is only read: additional data of a message that is empty.
	m.mac.Seal(out[:0], m.nonce[:], nil, unsafe.Slice(unsafe.StringData(raw), len(raw)))
	t := tag(*out)
	m.tags.Put(out)
	return t
}

func (m *memory) set(t tag) *atomic.Pointer[set] {
	return &m.table[binary.LittleEndian.Uint32(t[:])%sets]
}

// find returns what is remembered of a token if its key is still in use.
func (m *memory) find(t tag, keys *keyset) (*Claims, *key) {
	places := m.set(t).Load()
	if places == nil {
		return nil, nil
	}
	for i := range places {
		if e := places[i].Load(); e != nil && e.tag == t {
			if e.key != keys.signing && keys.byKID[e.key.kid] != e.key {
				return nil, nil
			}
			return e.claims, e.key
		}
	}
	return nil, nil
}

// keep remembers a token, in place of the one of its set that ends first.
// Whoever floods the table with tokens needs as many that are right.
func (m *memory) keep(t tag, c *Claims, k *key) {
	fresh := &entry{t, k, c}
	if fresh.cost() > maxEntry {
		return
	}
	at := m.set(t)
	places := at.Load()
	if places == nil {
		at.CompareAndSwap(nil, new(set)) // or somebody else did
		places = at.Load()
	}
	place, end := 0, Seconds(1<<62)
	for i := range places {
		e := places[i].Load()
		if e == nil || e.tag == t {
			place = i
			break
		}
		if e.claims.Expires < end {
			place, end = i, e.claims.Expires
		}
	}
	if more := fresh.cost() - places[place].Load().cost(); more > 0 && m.used.Load()+more > maxTotal {
		return
	}
	old := places[place].Swap(fresh)
	m.used.Add(fresh.cost() - old.cost())
}
