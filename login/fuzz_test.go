package login

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"authsvc/token"

	"golang.org/x/crypto/bcrypt"
)

// marker stands in for each Q of an input. It is in no sentence of ours, so an
// error that has it shows what stands in the file, which may be a password.
const marker = "hunter2"

func plant(data []byte) []byte { return bytes.ReplaceAll(data, []byte("Q"), []byte(marker)) }

func checkError(t *testing.T, err error) {
	t.Helper()
	if strings.Contains(err.Error(), marker) {
		t.Errorf("error shows what stands in the file: %v", err)
	}
	if n := strings.Count(err.Error(), "\n"); n > maxProblems {
		t.Errorf("error of %d lines", n+1)
	}
}

func FuzzHtpasswd(f *testing.F) {
	f.Add([]byte("\ufeff# people\r\nalice:" + dummy(5) + ":more\r\n\r\nbob:$2y$10$" + dummy(10)[7:]))
	f.Add([]byte("Q\nQ:Q\nalice:Q\n:Q\nalice:$2y$17$" + dummy(10)[7:] + "\nQ :" + dummy(4)))
	f.Add([]byte("Q\x00:" + dummy(4) + "\nQ\xff:" + dummy(4) + "\n Q:" + dummy(4) + "\nQ:" + dummy(4)))
	f.Add([]byte("a:$apr1$cLGJ8ifG$Wcr6yXH1GDBQc9fkrVJAH.\nb:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nc:rqXexS6ZhobKA"))
	f.Add([]byte(strings.Repeat("Q\n", 12)))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parseHtpasswd(plant(data))
		if err != nil {
			checkError(t, err)
			return
		}
		if len(p.hashes) == 0 {
			t.Error("accepted without users")
		}
		highest := 0
		for user, hash := range p.hashes {
			if err := (token.Identity{User: user}).Valid(); err != nil {
				t.Errorf("accepted %q: %v", user, err)
			}
			cost, err := bcrypt.Cost([]byte(hash))
			if err != nil || cost < minCost || cost > maxCost || cost != costOf(hash) {
				t.Errorf("accepted %q of cost %d: %v", hash, cost, err)
			}
			highest = max(highest, cost)
		}
		if p.cost != highest {
			t.Errorf("highest cost %d; want %d", p.cost, highest)
		}
	})
}

func FuzzHtgroup(f *testing.F) {
	f.Add([]byte("\ufeff# groups\r\nstaff: alice bob\r\n\r\nadmins : alice\nstaff: carol alice"))
	f.Add([]byte(`our group: "jane doe" 'a"b' c\\d "e\"f"`))
	f.Add([]byte("Q\nQ,Q: x\n: Q\ng: Q \\\ng: \"Q\ng: Q\x01\nQ\xff: x"))
	f.Add([]byte(strings.Repeat("Q\n", 12)))
	f.Fuzz(func(t *testing.T, data []byte) {
		groups, err := parseHtgroup(plant(data))
		if err != nil {
			checkError(t, err)
			return
		}
		for user, g := range groups {
			if err := (token.Identity{User: user, Groups: g}).Valid(); err != nil {
				t.Errorf("accepted %q in %q: %v", user, g, err)
			}
			if len(g) == 0 || !slices.IsSorted(g) || len(slices.Compact(slices.Clone(g))) != len(g) {
				t.Errorf("groups of %q are not sorted and distinct: %q", user, g)
			}
		}
	})
}
