package login

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"authsvc/token"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
)

func line(t testing.TB, user, password string, cost int) string {
	t.Helper()
	l, err := Hash(user, password, cost)
	if err != nil {
		t.Fatal(err)
	}
	return l + "\n"
}

// entry is a line that need not match anything.
func entry(user string, cost int) string { return user + ":" + dummy(cost) + "\n" }

func newHtpasswd(t testing.TB, users, groups string) *Htpasswd {
	t.Helper()
	h := NewHtpasswd(NewGate(4, 100))
	if err := h.SetUsers([]byte(users)); err != nil {
		t.Fatal(err)
	}
	if err := h.SetGroups([]byte(groups)); err != nil {
		t.Fatal(err)
	}
	return h
}

// count replaces h's comparison by one that adds up its work, in rounds of key
// expansion: 2^cost each.
func count(t testing.TB, h *Htpasswd) (rounds *int) {
	rounds = new(int)
	h.compare = func(hash, password []byte) error {
		cost, err := bcrypt.Cost(hash)
		if err != nil {
			t.Errorf("compared with %q: %v", hash, err)
		}
		*rounds += 1 << cost
		return bcrypt.CompareHashAndPassword(hash, password)
	}
	return rounds
}

func TestCheck(t *testing.T) {
	empty, err := bcrypt.GenerateFromPassword(nil, 4) // Hash would not
	if err != nil {
		t.Fatal(err)
	}
	h := newHtpasswd(t,
		line(t, "alice", "wonder", 4)+"bob:"+string(empty)+"\n"+line(t, "Ren\u00e9", "caf\u00e9", 4)+line(t, "jane doe", strings.Repeat("x", 72), 4),
		"staff: alice bob\nadmins: alice\n")
	for _, tt := range []struct {
		user, password string
		want           token.Identity
		err            error
	}{
		{"alice", "wonder", token.Identity{User: "alice", Groups: []string{"admins", "staff"}}, nil},
		{"alice", "wonde", token.Identity{}, token.ErrCredentials},
		{"alice", "", token.Identity{}, token.ErrCredentials},
		{"Alice", "wonder", token.Identity{}, token.ErrCredentials}, // Apache tells case apart
		{" alice", "wonder", token.Identity{}, token.ErrCredentials},
		{"nobody", "wonder", token.Identity{}, token.ErrCredentials},
		{"", "", token.Identity{}, token.ErrCredentials},
		{"bob", "", token.Identity{User: "bob", Groups: []string{"staff"}}, nil}, // an empty password is one like any other
		{"bob", "x", token.Identity{}, token.ErrCredentials},
		{"Rene\u0301", "caf\u00e9", token.Identity{User: "Ren\u00e9"}, nil},
		{"jane doe", strings.Repeat("x", 72), token.Identity{User: "jane doe"}, nil},
		{"jane doe", strings.Repeat("x", 71), token.Identity{}, token.ErrCredentials},
	} {
		id, err := h.Check(t.Context(), tt.user, tt.password)
		if err != tt.err {
			t.Errorf("Check(%q, %q): %v; want %v", tt.user, tt.password, err, tt.err)
		}
		if diff := cmp.Diff(tt.want, id); diff != "" {
			t.Errorf("Check(%q, %q) (-want +got):\n%s", tt.user, tt.password, diff)
		}
	}
}

// TestCheckBeforeHashing: these answers depend on the password alone, and cost
// nothing, for any user.
func TestCheckBeforeHashing(t *testing.T) {
	h := newHtpasswd(t, line(t, "alice", "wonder", 4), "")
	rounds := count(t, h)
	for _, user := range []string{"alice", "nobody", ""} {
		for password, want := range map[string]error{
			strings.Repeat("x", 73):                     token.ErrPasswordTooLong,
			"wonder" + strings.Repeat("\x00", 67):       token.ErrPasswordTooLong,
			"wonder\x00":                                token.ErrCredentials,
			"wonder\x00" + strings.Repeat("x", 72-7):    token.ErrCredentials,
			"\x00":                                      token.ErrCredentials,
			strings.Repeat("\u00e9", 36) + "\u00e9wide": token.ErrPasswordTooLong, // bytes, not characters
		} {
			if _, err := h.Check(t.Context(), user, password); err != want {
				t.Errorf("Check(%q, %q) = %v; want %v", user, password, err, want)
			}
		}
	}
	if *rounds != 0 {
		t.Errorf("%d rounds of hashing; want none", *rounds)
	}
}

// TestEqualWork: what an attempt costs does not tell which names exist, also
// where some hashes are cheaper than others.
func TestEqualWork(t *testing.T) {
	var file strings.Builder
	for cost := 4; cost <= 7; cost++ {
		file.WriteString(line(t, fmt.Sprintf("user%d", cost), "right", cost))
	}
	h := newHtpasswd(t, file.String(), "")
	rounds := count(t, h)
	for _, user := range []string{"user4", "user5", "user6", "user7", "unknown", "", "not\nvalid", "\xff"} {
		for _, password := range []string{"right", "wrong", "", strings.Repeat("x", 72)} {
			*rounds = 0
			id, err := h.Check(t.Context(), user, password)
			if *rounds != 1<<7 {
				t.Errorf("Check(%q, %q) did %d rounds; want %d", user, password, *rounds, 1<<7)
			}
			if hit := strings.HasPrefix(user, "user") && password == "right"; hit != (err == nil) || hit != (id.User == user && user != "") {
				t.Errorf("Check(%q, %q) = %v, %v", user, password, id, err)
			}
		}
	}
	// The dearest hash of another file sets another price.
	if err := h.SetUsers([]byte(line(t, "user4", "right", 4))); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"user4", "user7"} {
		*rounds = 0
		if h.Check(t.Context(), user, "right"); *rounds != 1<<4 {
			t.Errorf("Check(%q) did %d rounds; want %d", user, *rounds, 1<<4)
		}
	}
}

// TestDummyIsReal: the stand-in must be hashed, not turned away for its form.
func TestDummyIsReal(t *testing.T) {
	for cost := minCost; cost <= 7; cost++ {
		if !isBcrypt(dummy(cost)) || costOf(dummy(cost)) != cost {
			t.Errorf("dummy(%d) = %q", cost, dummy(cost))
		}
		if err := bcrypt.CompareHashAndPassword([]byte(dummy(cost)), nil); err != bcrypt.ErrMismatchedHashAndPassword {
			t.Errorf("comparing with dummy(%d): %v", cost, err)
		}
	}
}

// TestDummyNeverMatches: even if a password were found that fits it.
func TestDummyNeverMatches(t *testing.T) {
	h := newHtpasswd(t, entry("alice", 4), "")
	h.compare = func(_, _ []byte) error { return nil }
	if _, err := h.Check(t.Context(), "nobody", "x"); err != token.ErrCredentials {
		t.Errorf("Check = %v; want token.ErrCredentials", err)
	}
}

func TestPaddingNeverMatches(t *testing.T) {
	h := newHtpasswd(t, entry("alice", 4)+entry("bob", 5), "")
	calls := 0
	h.compare = func(_, _ []byte) error {
		if calls++; calls == 1 {
			return bcrypt.ErrMismatchedHashAndPassword
		}
		return nil
	}
	if _, err := h.Check(t.Context(), "alice", "x"); err != token.ErrCredentials || calls != 2 {
		t.Errorf("Check = %v after %d comparisons; want token.ErrCredentials after 2", err, calls)
	}
}

func TestCheckContext(t *testing.T) {
	h := newHtpasswd(t, entry("alice", 4), "")
	rounds := count(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Check(ctx, "alice", "x"); err != context.Canceled || *rounds != 0 {
		t.Errorf("Check = %v after %d rounds; want context.Canceled after none", err, *rounds)
	}
}

func TestLookup(t *testing.T) {
	h := newHtpasswd(t, entry("alice", 16)+entry("Ren\u00e9", 16), "staff: alice Rene\u0301 nobody\n")
	rounds := count(t, h)
	want := token.Identity{User: "alice", Groups: []string{"staff"}}
	id, err := h.Lookup("alice")
	if diff := cmp.Diff(want, id); err != nil || diff != "" {
		t.Errorf("Lookup(alice): %v (-want +got):\n%s", err, diff)
	}
	if id, err := h.Lookup("Rene\u0301"); err != nil || id.User != "Ren\u00e9" || len(id.Groups) != 1 {
		t.Errorf("Lookup of a decomposed name = %v, %v", id, err)
	}
	// What a caller does with its groups is not seen by the next.
	id.Groups[0] = "admins"
	if id, _ := h.Lookup("alice"); !cmp.Equal(want, id) {
		t.Errorf("Lookup(alice) = %v; want %v still", id, want)
	}
	// To be in a group is not to be known.
	if id, err := h.Lookup("nobody"); err != token.ErrCredentials || !cmp.Equal(id, token.Identity{}) {
		t.Errorf("Lookup(nobody) = %v, %v; want token.ErrCredentials", id, err)
	}
	if *rounds != 0 {
		t.Errorf("%d rounds of hashing; want none", *rounds)
	}
}

func TestSetKeepsOldStateOnError(t *testing.T) {
	h := NewHtpasswd(NewGate(1, 0))
	if _, err := h.Lookup("alice"); err != token.ErrCredentials {
		t.Errorf("Lookup before SetUsers = %v; want token.ErrCredentials", err)
	}
	if _, err := h.Check(t.Context(), "alice", "x"); err != token.ErrCredentials {
		t.Errorf("Check before SetUsers = %v; want token.ErrCredentials", err)
	}
	h = newHtpasswd(t, entry("alice", 4), "staff: alice")
	if h.SetUsers([]byte(entry("bob", 4)+"alice")) == nil || h.SetUsers(nil) == nil || h.SetGroups([]byte("admins: alice\nstaff")) == nil {
		t.Error("a bad file was taken")
	}
	if id, err := h.Lookup("alice"); err != nil || !cmp.Equal(id.Groups, []string{"staff"}) {
		t.Errorf("Lookup(alice) = %v, %v; want as before", id, err)
	}
	if _, err := h.Lookup("bob"); err != token.ErrCredentials {
		t.Error("half of a bad file was taken")
	}
	// An empty group file is one: nobody is in a group.
	if err := h.SetGroups(nil); err != nil {
		t.Error(err)
	}
	if id, err := h.Lookup("alice"); err != nil || id.Groups != nil {
		t.Errorf("Lookup(alice) = %v, %v; want no groups", id, err)
	}
}

func TestParseHtpasswd(t *testing.T) {
	a, b := dummy(5), "$2b$16$"+strings.Repeat("aZ", 25)+"9/."
	file := "\ufeff# people\r\n" +
		"alice:" + a + "\r\n" +
		"\r\n" +
		"  \t# indented comment: not a user\n" +
		"  bob:" + b + ":Bob B.:bob@example.com  \n" +
		"Rene\u0301:" + a + "\n" +
		"jane doe:" + a // without a newline
	got, err := parseHtpasswd([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"alice": a, "bob": b, "Ren\u00e9": a, "jane doe": a}
	if diff := cmp.Diff(want, got.hashes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.cost != 16 {
		t.Errorf("highest cost %d; want 16", got.cost)
	}
}

const notBcrypt = "not bcrypt (write it with htpasswd -B)"

func TestParseHtpasswdRefuses(t *testing.T) {
	hash := dummy(10)
	for _, tt := range []struct{ name, file, want string }{
		{"empty", "", "no users (write one with htpasswd -B)"},
		{"comments only", "# alice\n\n", "no users (write one with htpasswd -B)"},
		{"no colon", "# x\n\nhunter2", "line 3: no colon (a line is user:hash)"},
		{"md5", "a:$apr1$cLGJ8ifG$Wcr6yXH1GDBQc9fkrVJAH.", "line 1: " + notBcrypt},
		{"sha1", "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "line 1: " + notBcrypt},
		{"crypt", "a:rqXexS6ZhobKA", "line 1: " + notBcrypt},
		{"sha512", "a:$6$aaaaaaaa$" + strings.Repeat("a", 86), "line 1: " + notBcrypt},
		{"plain", "a:hunter2", "line 1: " + notBcrypt},
		{"empty hash", "a:", "line 1: " + notBcrypt},
		{"2x", "a:$2x" + hash[3:], "line 1: " + notBcrypt},
		{"2", "a:$2" + hash[3:], "line 1: " + notBcrypt},
		{"short", "a:" + hash[:59], "line 1: " + notBcrypt},
		{"long", "a:" + hash + ".", "line 1: " + notBcrypt},
		{"space before the hash", "a: " + hash, "line 1: " + notBcrypt},
		{"alphabet", "a:" + hash[:59] + "=", "line 1: " + notBcrypt},
		{"salt alphabet", "a:" + hash[:20] + "+" + hash[21:], "line 1: " + notBcrypt},
		{"cost is no number", "a:$2a$1x$" + hash[7:], "line 1: " + notBcrypt},
		{"no dollar after the cost", "a:$2a$10." + hash[7:], "line 1: " + notBcrypt},
		{"cost too low", "a:$2a$03$" + hash[7:], "line 1: bcrypt cost 3 is not within 4 to 16 (write it with htpasswd -B -C 12)"},
		{"cost too high", "a:$2a$17$" + hash[7:], "line 1: bcrypt cost 17 is not within 4 to 16 (write it with htpasswd -B -C 12)"},
		{"no name", ":" + hash, "line 1: " + badUser},
		{"space after the name", "a :" + hash, "line 1: " + badUser},
		{"latin-1", "Ren\xe9:" + hash, "line 1: " + badUser},
		{"control character", "a\x00b:" + hash, "line 1: " + badUser},
		{"reordering character", "a\u202eb:" + hash, "line 1: " + badUser},
		{"name too long", strings.Repeat("a", 256) + ":" + hash, "line 1: " + badUser},
		{"duplicate", "a:" + hash + "\nb:" + hash + "\na:" + hash, "line 3: the same user as on line 1"},
		{"duplicate in another spelling", "# x\nRen\u00e9:" + hash + "\nRene\u0301:" + hash, "line 3: the same user as on line 2"},
		{"duplicate of a bad one", "a:x\na:" + hash, "line 1: " + notBcrypt + "\nline 2: the same user as on line 1"},
		{"several", "hunter2\nb:" + hash + "\nc:x\n", "line 1: no colon (a line is user:hash)\nline 3: " + notBcrypt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := parseHtpasswd([]byte(tt.file))
			if p != nil || err == nil || err.Error() != tt.want {
				t.Errorf("got %v, %v; want %s", p, err, tt.want)
			}
		})
	}
}

func TestProblemsAreCapped(t *testing.T) {
	for _, tt := range []struct {
		bad  int
		last string
	}{
		{10, "line 10: " + notBcrypt},
		{11, "and 1 more"},
		{10_000, "and 9990 more"},
	} {
		var file strings.Builder
		for i := range tt.bad {
			fmt.Fprintf(&file, "user%d:x\n", i)
		}
		_, err := parseHtpasswd([]byte(file.String()))
		if err == nil {
			t.Fatal("no error")
		}
		got := strings.Split(err.Error(), "\n")
		if len(got) > 11 || got[9] != "line 10: "+notBcrypt || got[len(got)-1] != tt.last {
			t.Errorf("%d bad lines: %d problems that end with %q; want %q", tt.bad, len(got), got[len(got)-1], tt.last)
		}
	}
}

func TestParseHtgroup(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		want       map[string][]string
	}{
		{"empty", "", map[string][]string{}},
		{"as Apache's documentation has it", "mygroup: bob joe anne\n", map[string][]string{"bob": {"mygroup"}, "joe": {"mygroup"}, "anne": {"mygroup"}}},
		{"sorted, once each", "z: a\nb: a a\nz: a", map[string][]string{"a": {"b", "z"}}},
		{"goes on further down", "g: a\nh: b\ng: b c\n", map[string][]string{"a": {"g"}, "b": {"g", "h"}, "c": {"g"}}},
		{"without members", "g:\nh: \n", map[string][]string{}},
		{"white space", "\ufeff# x\r\n\r\n g :\t a  b\t\r\ng:c", map[string][]string{"a": {"g"}, "b": {"g"}, "c": {"g"}}},
		{"spaces in names", `our group: "jane doe" 'john doe' x`, map[string][]string{"jane doe": {"our group"}, "john doe": {"our group"}, "x": {"our group"}}},
		{"quotes and backslashes", `g: "a\"b" 'c"d' e\f g\\h i"j "k\\l" "m\n" "o"p`, map[string][]string{
			`a"b`: {"g"}, `c"d`: {"g"}, `e\f`: {"g"}, `g\h`: {"g"}, `i"j`: {"g"}, `k\l`: {"g"}, `m\n`: {"g"}, "o": {"g"}, "p": {"g"}}},
		{"a colon in a member", "g: a:b", map[string][]string{"a:b": {"g"}}},
		{"one user in two spellings", "g: Ren\u00e9\nh: Rene\u0301", map[string][]string{"Ren\u00e9": {"g", "h"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseHtgroup([]byte(tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseHtgroupRefuses(t *testing.T) {
	const badGroup = "group name is empty, too long, not printable UTF-8, or has a comma"
	for _, tt := range []struct{ name, file, want string }{
		{"no colon", "# x\nhunter2", "line 2: no colon (a line is group: user user)"},
		{"comma", "a,b: x", "line 1: " + badGroup},
		{"no name", " : x", "line 1: " + badGroup},
		{"latin-1", "\xe9: x", "line 1: " + badGroup},
		{"too long", strings.Repeat("a", 256) + ": x", "line 1: " + badGroup},
		{"control character in a member", "g: a\x01", "line 1: " + badUser},
		{"empty member", `g: ""`, "line 1: " + badUser},
		{"open quote", `g: a "b c`, "line 1: a quote is not closed"},
		{"continued", "g: a \\\n b", "line 1: ends in a backslash (begin the next line with the group's name instead)\nline 2: no colon (a line is group: user user)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseHtgroup([]byte(tt.file))
			if got != nil || err == nil || err.Error() != tt.want {
				t.Errorf("got %v, %v; want %s", got, err, tt.want)
			}
		})
	}
}

// TestReloadWhileInUse is for the race detector, and shows that a check sees
// one file or the other, never half of each.
func TestReloadWhileInUse(t *testing.T) {
	files := []string{entry("alice", 4) + entry("bob", 4), entry("alice", 5)}
	groups := []string{"staff: alice", "admins: alice"}
	h := newHtpasswd(t, files[0], groups[0])
	h.compare = func(_, _ []byte) error { return nil }
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				for _, ask := range []func() (token.Identity, error){
					func() (token.Identity, error) { return h.Check(t.Context(), "alice", "x") },
					func() (token.Identity, error) { return h.Lookup("alice") },
				} {
					if id, err := ask(); err != nil || len(id.Groups) != 1 {
						t.Errorf("alice is %v, %v", id, err)
					}
				}
			}
		})
	}
	for i := range 500 {
		if err := errors.Join(h.SetUsers([]byte(files[i%2])), h.SetGroups([]byte(groups[i%2]))); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

// manyUsers is a password file and a group file of n users in three groups each.
func manyUsers(n int) (users, groups []byte) {
	var u, g strings.Builder
	g.WriteString("everybody:")
	for i := range n {
		u.WriteString(entry(fmt.Sprintf("user%06d", i), 10))
		fmt.Fprintf(&g, " user%06d", i)
	}
	for i := range n {
		fmt.Fprintf(&g, "\nteam%d: user%06d\nfloor%d: user%06d", i/10, i, i/1000, i)
	}
	return []byte(u.String()), []byte(g.String())
}

func TestManyUsers(t *testing.T) {
	const n = 100_000
	users, groups := manyUsers(n)
	h := NewHtpasswd(NewGate(1, 0))
	rounds := count(t, h)
	if err := errors.Join(h.SetUsers(users), h.SetGroups(groups)); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, n / 2, n - 1} {
		user := fmt.Sprintf("user%06d", i)
		want := token.Identity{User: user, Groups: []string{"everybody", fmt.Sprintf("floor%d", i/1000), fmt.Sprintf("team%d", i/10)}}
		id, err := h.Lookup(user)
		if diff := cmp.Diff(want, id); err != nil || diff != "" {
			t.Errorf("Lookup(%s): %v (-want +got):\n%s", user, err, diff)
		}
	}
	if *rounds != 0 {
		t.Errorf("%d rounds of hashing; want none", *rounds)
	}
}

func BenchmarkLoad(b *testing.B) {
	users, groups := manyUsers(100_000)
	h := NewHtpasswd(NewGate(1, 0))
	for b.Loop() {
		if err := errors.Join(h.SetUsers(users), h.SetGroups(groups)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			users, groups := manyUsers(n)
			h := newHtpasswd(b, string(users), string(groups))
			for b.Loop() {
				if _, err := h.Lookup("user000007"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCheck shows the work that TestEqualWork counts: the rows should not
// differ.
func BenchmarkCheck(b *testing.B) {
	h := newHtpasswd(b, line(b, "cheap", "right", 5)+line(b, "dear", "right", 10), "")
	for _, user := range []string{"cheap", "dear", "unknown"} {
		for _, password := range []string{"right", "wrong"} {
			b.Run(user+"/"+password, func(b *testing.B) {
				for b.Loop() {
					h.Check(b.Context(), user, password)
				}
			})
		}
	}
}
