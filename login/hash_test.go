package login

import (
	"errors"
	"strings"
	"testing"

	"authsvc/token"
)

func TestHash(t *testing.T) {
	got, err := Hash("Rene\u0301", "caf\u00e9", 4)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got, "Ren\u00e9:$2y$04$") || strings.ContainsAny(got, "\r\n") {
		t.Errorf("Hash = %q", got)
	}
	h := newHtpasswd(t, got, "")
	if _, err := h.Check(t.Context(), "Ren\u00e9", "caf\u00e9"); err != nil {
		t.Errorf("Check of the line = %v", err)
	}
	again, err := Hash("Ren\u00e9", "caf\u00e9", 4)
	if err != nil || again == got {
		t.Errorf("Hash of the same again = %q, %v; want another salt", again, err)
	}
}

func TestHashRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, user, password string
		cost                 int
		is                   error // if not nil
	}{
		{"no name", "", "x", 4, token.ErrIdentity},
		{"newline in the name", "a\nb", "x", 4, token.ErrIdentity},
		{"colon in the name", "a:b", "x", 4, token.ErrIdentity},
		{"comment", "#a", "x", 4, token.ErrIdentity},
		{"password too long", "a", strings.Repeat("x", 73), 4, token.ErrPasswordTooLong},
		{"NUL in the password", "a", "x\x00y", 4, nil},
		{"no password", "a", "", 4, nil},
		{"cost too low", "a", "x", 3, nil}, // bcrypt's package would take its default
		{"cost too high", "a", "x", 17, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Hash(tt.user, tt.password, tt.cost)
			if got != "" || err == nil || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("Hash = %q, %v; want an error, %v", got, err, tt.is)
			}
		})
	}
	if _, err := Hash("a", strings.Repeat("x", 72), 4); err != nil {
		t.Errorf("72 bytes: %v", err)
	}
}

func BenchmarkHash(b *testing.B) {
	for b.Loop() {
		if _, err := Hash("a", "x", DefaultCost); err != nil {
			b.Fatal(err)
		}
	}
}
