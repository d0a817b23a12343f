package login

import (
	"errors"
	"testing"

	"authsvc/token"

	"github.com/google/go-cmp/cmp"
)

func TestName(t *testing.T) {
	for _, tt := range []struct{ user, want string }{
		{"letian", "letian"},
		{"jane doe", "jane doe"},
		{"Rene\u0301", "Ren\u00e9"}, // typed as e and an accent
	} {
		id, err := Name{}.Check(t.Context(), tt.user, "ignored")
		if err != nil {
			t.Errorf("Check(%q): %v", tt.user, err)
		}
		if diff := cmp.Diff(token.Identity{User: tt.want}, id); diff != "" {
			t.Errorf("Check(%q) (-want +got):\n%s", tt.user, diff)
		}
		again, err := Name{}.Lookup(tt.user)
		if err != nil || !cmp.Equal(id, again) {
			t.Errorf("Lookup(%q) = %v, %v; want as Check", tt.user, again, err)
		}
	}
	for _, user := range []string{"", " bob", "bob\n", "a\x00b", "\xff"} {
		if id, err := (Name{}).Check(t.Context(), user, ""); !errors.Is(err, token.ErrIdentity) || !cmp.Equal(id, token.Identity{}) {
			t.Errorf("Check(%q) = %v, %v; want token.ErrIdentity", user, id, err)
		}
	}
}
