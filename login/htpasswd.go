package login

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"

	"authsvc/token"

	"golang.org/x/crypto/bcrypt"
)

// Htpasswd knows users by a password file and a group file as Apache's tools
// write them. Both may be replaced while it is in use. Until SetUsers it knows
// nobody, and until SetGroups nobody is in a group.
type Htpasswd struct {
	gate   *Gate
	users  atomic.Pointer[passwd]
	groups atomic.Pointer[map[string][]string] // by user

	// compare is bcrypt.CompareHashAndPassword; a test counts its work.
	compare func(hash, password []byte) error
}

// NewHtpasswd returns an Htpasswd that hashes inside of gate.
func NewHtpasswd(gate *Gate) *Htpasswd {
	h := &Htpasswd{gate: gate, compare: bcrypt.CompareHashAndPassword}
	h.users.Store(&passwd{cost: minCost})
	h.groups.Store(&map[string][]string{})
	return h
}

// SetUsers replaces the password file. On error the former one stays; the error
// tells all that is wrong by line, and nothing of what stands there.
func (h *Htpasswd) SetUsers(data []byte) error {
	p, err := parseHtpasswd(data)
	if err != nil {
		return err
	}
	h.users.Store(p)
	return nil
}

// SetGroups replaces the group file. On error the former one stays. Users who
// are not in the password file may be in it, and are not thereby known.
func (h *Htpasswd) SetGroups(data []byte) error {
	groups, err := parseHtgroup(data)
	if err != nil {
		return err
	}
	h.groups.Store(&groups)
	return nil
}

// Check returns who has this name and password, or one of the errors that the
// package comment lists.
func (h *Htpasswd) Check(ctx context.Context, user, password string) (token.Identity, error) {
	// Both refusals look at the password alone, before the user is looked up,
	// so they tell nothing about the user.
	if len(password) > maxPassword {
		return token.Identity{}, token.ErrPasswordTooLong
	}
	// Implementations in C end the password at a NUL byte. One in a password
	// is never typed: it is a probe for what is behind us.
	if strings.ContainsRune(password, 0) {
		return token.Identity{}, token.ErrCredentials
	}
	user = token.CanonicalUser(user)
	var ok bool
	err := h.gate.Do(ctx, func() { ok = h.match(h.users.Load(), user, password) })
	if err != nil {
		return token.Identity{}, err
	}
	if !ok {
		return token.Identity{}, token.ErrCredentials
	}
	return h.identity(user), nil
}

// Lookup returns what is known of a user now, or [token.ErrCredentials].
func (h *Htpasswd) Lookup(user string) (token.Identity, error) {
	user = token.CanonicalUser(user)
	if _, ok := h.users.Load().hashes[user]; !ok {
		return token.Identity{}, token.ErrCredentials
	}
	return h.identity(user), nil
}

func (h *Htpasswd) identity(user string) token.Identity {
	// Cloned, because the next request gets the same list.
	return token.Identity{User: user, Groups: slices.Clone((*h.groups.Load())[user])}
}

// match reports whether the password is the user's. Whatever the answer, it
// does the work of one comparison at the highest cost in the file: time that
// depended on the user would tell which names exist, without a single hit.
//
// An unknown name is compared with a hash of that cost that nothing matches.
// For a known one of a lower cost c the difference is made up by comparisons
// of c, c+1, … up to max-1, since
//
//	2^c + (2^c + 2^(c+1) + … + 2^(max-1)) = 2^max
//
// What stays is the set-up of those further comparisons, well under a tenth of
// a millisecond each, and only in a file of mixed costs.
func (h *Htpasswd) match(p *passwd, user, password string) bool {
	pw := []byte(password)
	hash, known := p.hashes[user]
	if !known {
		hash = dummy(p.cost)
	}
	ok := h.compare([]byte(hash), pw) == nil
	for c := costOf(hash); c < p.cost; c++ {
		h.compare([]byte(dummy(c)), pw)
	}
	return known && ok
}

// dummy is a hash for its cost only; what is compared with it is not used.
func dummy(cost int) string {
	return fmt.Sprintf("$2a$%02d$%s", cost, strings.Repeat(".", 22+31)) // salt and digest
}

// passwd is a password file. Names and hashes are slices of the file's text,
// which makes many users cost little more than the text.
type passwd struct {
	hashes map[string]string
	cost   int // the highest of all hashes
}

// parseHtpasswd reads lines of user:hash; further fields are ignored.
func parseHtpasswd(data []byte) (*passwd, error) {
	p := &passwd{hashes: make(map[string]string)}
	first := make(map[string]int) // line of each user
	var bad problems
	for n, line := range lines(data) {
		user, rest, ok := strings.Cut(line, ":")
		if !ok {
			bad.add(n, "no colon (a line is user:hash)")
			continue
		}
		if user, ok = userName(user); !ok {
			bad.add(n, badUser)
			continue
		}
		// Apache takes the first of two. Which of them an operator meant is a
		// guess, and a wrong one leaves an old password in force.
		if m, ok := first[user]; ok {
			bad.add(n, fmt.Sprintf("the same user as on line %d", m))
			continue
		}
		first[user] = n
		hash, _, _ := strings.Cut(rest, ":")
		if !isBcrypt(hash) {
			bad.add(n, "not bcrypt (write it with htpasswd -B)")
			continue
		}
		cost := costOf(hash)
		if cost < minCost || cost > maxCost {
			bad.add(n, fmt.Sprintf("bcrypt cost %d is not within %d to %d (write it with htpasswd -B -C %d)", cost, minCost, maxCost, DefaultCost))
			continue
		}
		p.hashes[user] = hash
		p.cost = max(p.cost, cost)
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	// More likely a file that is being written than a wish.
	if len(p.hashes) == 0 {
		return nil, errors.New("no users (write one with htpasswd -B)")
	}
	return p, nil
}

// parseHtgroup reads lines of group: user user, and returns the groups of each
// user, sorted and each once.
func parseHtgroup(data []byte) (map[string][]string, error) {
	groups := make(map[string][]string)
	var bad problems
	for n, line := range lines(data) {
		group, members, ok := strings.Cut(line, ":")
		if !ok {
			bad.add(n, "no colon (a line is group: user user)")
			continue
		}
		group = strings.TrimRight(group, space)
		if group == "" || (token.Identity{User: "x", Groups: []string{group}}).Valid() != nil {
			bad.add(n, "group name is empty, too long, not printable UTF-8, or has a comma")
			continue
		}
		// Apache joins such a line with the next. Here it would lose members.
		if strings.HasSuffix(members, `\`) {
			bad.add(n, "ends in a backslash (begin the next line with the group's name instead)")
			continue
		}
		for {
			members = strings.TrimLeft(members, space)
			if members == "" {
				break
			}
			var user string
			if user, members, ok = word(members); !ok {
				bad.add(n, "a quote is not closed")
				break
			}
			if user, ok = userName(user); !ok {
				bad.add(n, badUser)
				break
			}
			groups[user] = append(groups[user], group)
		}
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	for user, g := range groups {
		slices.Sort(g)
		groups[user] = slices.Compact(g)
	}
	return groups, nil
}

// badUser does not show the name: in a file of the wrong kind, or on a line
// with a slip, what stands there may be a password.
const badUser = "user name is empty, too long, not printable UTF-8, or begins or ends with a space"

// userName returns the canonical spelling of a name, if it may be one.
func userName(s string) (string, bool) {
	s = token.CanonicalUser(s)
	return s, token.Identity{User: s}.Valid() == nil
}

// isBcrypt reports whether s has the form of a bcrypt hash. $2x$ marks hashes
// of an implementation that misread characters beyond ASCII: such passwords
// would not match here, and are weaker than they look.
func isBcrypt(s string) bool {
	if len(s) != 60 || !(strings.HasPrefix(s, "$2a$") || strings.HasPrefix(s, "$2b$") || strings.HasPrefix(s, "$2y$")) {
		return false
	}
	for i := 4; i < len(s); i++ {
		c := s[i]
		digit := '0' <= c && c <= '9'
		switch {
		case i == 4 || i == 5:
			if !digit {
				return false
			}
		case i == 6:
			if c != '$' {
				return false
			}
		case !(digit || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '.' || c == '/'):
			return false
		}
	}
	return true
}

// costOf returns the cost of what isBcrypt accepts: $2y$05$…
func costOf(hash string) int { return int(hash[4]-'0')*10 + int(hash[5]-'0') }

// space is what Apache takes for white space.
const space = " \t\v\f\r\n"

// lines yields the lines that say something with their numbers, trimmed as
// Apache trims them. A byte order mark, as editors on Windows leave it, is not
// part of the first name.
func lines(data []byte) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		n := 0
		for line := range strings.SplitSeq(strings.TrimPrefix(string(data), "\ufeff"), "\n") {
			n++
			line = strings.Trim(line, space)
			if line == "" || line[0] == '#' {
				continue
			}
			if !yield(n, line) {
				return
			}
		}
	}
}

// word cuts the first word off s, which is not empty, by the rules that Apache
// has for words in its files: a name with spaces stands in quotes of either
// kind, and a backslash stands before a quote or a backslash.
func word(s string) (w, rest string, ok bool) {
	var quote byte
	if s[0] == '"' || s[0] == '\'' {
		quote, s = s[0], s[1:]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && (s[i+1] == '\\' || quote != 0 && s[i+1] == quote):
			i++
			c = s[i]
		case quote != 0 && c == quote:
			return b.String(), s[i+1:], true
		case quote == 0 && strings.IndexByte(space, c) >= 0:
			return b.String(), s[i:], true
		}
		b.WriteByte(c)
	}
	return b.String(), "", quote == 0
}

// problems collects what is wrong with a file, so that one look mends it all.
type problems struct {
	errs []error
	more int
}

// maxProblems keeps a file of the wrong kind from filling the log.
const maxProblems = 10

func (p *problems) add(line int, text string) {
	if len(p.errs) == maxProblems {
		p.more++
		return
	}
	p.errs = append(p.errs, fmt.Errorf("line %d: %s", line, text))
}

func (p *problems) err() error {
	if p.more > 0 {
		return errors.Join(append(p.errs, fmt.Errorf("and %d more", p.more))...)
	}
	return errors.Join(p.errs...)
}
