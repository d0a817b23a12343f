package token

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	secretA = "the first secret, of more than 32 bytes"
	secretB = "the second secret, of more than 32 bytes"
)

func mustSecret(t testing.TB, value string, from time.Time) Secret {
	t.Helper()
	s, err := NewSecret(value, from)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A day of one-hour periods, two secrets, the second from 10:30.
func TestTimetable(t *testing.T) {
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	clock := func(s string) time.Time {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return day.Add(d)
	}
	secrets := []Secret{mustSecret(t, secretA, time.Time{}), mustSecret(t, secretB, clock("10h30m"))}
	for _, tc := range []struct {
		at     string
		want   string // secret@signing instant, by instant
		reason string
	}{
		{"9h", "A@07:00 A@08:00 A@09:00 A@10:00", "two hours of life: what signed until 7:00 ended at 9:00; the next hour is published"},
		{"9h59m", "A@07:00 A@08:00 A@09:00 A@10:00 B@10:30", "the new secret is published one period before it signs"},
		{"10h30m", "A@08:00 A@09:00 A@10:00 B@10:30 B@11:00", "the old secret has no key for 11:00"},
		{"12h29m", "A@10:00 B@10:30 B@11:00 B@12:00 B@13:00", "what signed until 10:30 has a minute left"},
		{"12h30m", "B@10:30 B@11:00 B@12:00 B@13:00", "the old secret is gone by itself"},
	} {
		var got []string
		for id, s := range timetable(secrets, time.Hour, 2*time.Hour, clock(tc.at)) {
			name := "A"
			if id.secret == secretB {
				name = "B"
			}
			got = append(got, s.sign.UTC().Format("15:04 ")+name)
		}
		slices.Sort(got)
		for i, g := range got {
			hour, name, _ := strings.Cut(g, " ")
			got[i] = name + "@" + hour
		}
		if d := cmp.Diff(tc.want, strings.Join(got, " ")); d != "" {
			t.Errorf("at %s (%s): -want +got\n%s", tc.at, tc.reason, d)
		}
	}
}

// Rotation as it is lived: a session every three minutes for two days of
// one-hour keys and a change of secret. At every instant each session that has
// not expired verifies, what signs was published a period before, and what has
// retired is unknown.
func TestRotationEndsNoSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := New(Config{
			Algorithm: HS256, Rotation: time.Hour, TTL: 90 * time.Minute, Max: 2 * time.Hour,
			Secrets: []Secret{mustSecret(t, secretA, time.Time{}), mustSecret(t, secretB, time.Now().Add(25*time.Hour+10*time.Minute))},
		}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		type issued struct {
			raw string
			at  time.Time
		}
		var all []issued
		published := map[string]time.Time{}
		for range 48 * 20 {
			for _, k := range a.Keys(time.Now()) {
				if _, ok := published[k.KID]; !ok {
					published[k.KID] = time.Now()
				}
			}
			raw, _, err := a.Mint(Identity{User: "letian"}, Grant{}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			kid := signer(t, raw)
			if since := time.Since(published[kid]); len(all) > 40 && since < time.Hour {
				t.Fatalf("key %s signs after %v in the JWKS, want an hour", kid, since)
			}
			all = append(all, issued{raw, time.Now()})
			for _, s := range all {
				_, err := a.Verify(s.raw, time.Now())
				switch age := time.Since(s.at); {
				case age < 90*time.Minute && err != nil:
					t.Fatalf("a session of %v is refused: %v", age, err)
				case age >= 90*time.Minute && err == nil:
					t.Fatalf("a session of %v is accepted", age)
				case age > 3*time.Hour && !errors.Is(err, ErrUnknownKey):
					t.Fatalf("the key of a session of %v is still live: %v", age, err)
				}
			}
			if len(all) > 100 {
				all = all[1:]
			}
			time.Sleep(3 * time.Minute)
		}
	})
}

func signer(t *testing.T, raw string) string {
	t.Helper()
	head, _, _ := strings.Cut(raw, ".")
	text, err := strict.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	var h header
	if err := json.Unmarshal(text, &h); err != nil {
		t.Fatal(err)
	}
	return h.Kid
}

// The clock of a machine may be set back; keys follow it.
func TestClockSetBack(t *testing.T) {
	a := newAuthority(t, EdDSA)
	now := time.Now()
	raw, _, err := a.Mint(Identity{User: "letian"}, Grant{}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(raw, now.Add(90*24*time.Hour)); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("three months later: %v, want its key retired", err)
	}
	if _, err := a.Verify(raw, now); err != nil {
		t.Errorf("clock set back again: %v", err)
	}
}

func TestSecretsMustBeInForce(t *testing.T) {
	cfg := Config{Algorithm: EdDSA, Rotation: time.Hour, TTL: time.Hour, Max: time.Hour}
	if _, err := New(cfg, time.Now()); err == nil {
		t.Error("no secret is accepted")
	}
	cfg.Secrets = []Secret{mustSecret(t, secretA, time.Now().Add(time.Hour))}
	if _, err := New(cfg, time.Now()); err == nil || !strings.Contains(err.Error(), "no secret signs yet") {
		t.Errorf("only a future secret: %v", err)
	}
}

func TestParseSecrets(t *testing.T) {
	got, err := ParseSecrets([]byte("# comment\n\n2026-03-01T00:00:00Z " + secretB + "\r\n2026-02-01T00:00:00+01:00\t" + secretA + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].value != secretA || got[1].value != secretB {
		t.Errorf("got %v, want both, by instant, spaces inside kept", got)
	}
	for _, tc := range []struct{ file, want string }{
		{"", "no secret in it"},
		{secretA, "line 1: does not begin with an RFC 3339 instant"},
		{"2026-03-01T00:00:00Z short", "line 1: secret is 5 bytes long, at least 32"},
		{"2026-03-01T00:00:00Z", "line 1: secret is 0 bytes long"},
		{"\n2026-03-01T00:00:00Z " + secretA + "\n2026-03-01T01:00:00+01:00 " + secretB, "line 3: same instant or same secret as line 2"},
		{"2026-03-01T00:00:00Z " + secretA + "\n2026-04-01T01:00:00Z " + secretA, "line 2: same instant or same secret as line 1"},
		{"x " + secretA + "\ny " + secretA, "line 2: does not begin"},
	} {
		_, err := ParseSecrets([]byte(tc.file))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v, want %q", tc.file, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "more than") {
			t.Errorf("%q: the error repeats the secret: %v", tc.file, err)
		}
	}
}

func FuzzSecrets(f *testing.F) {
	f.Add([]byte("2026-03-01T00:00:00Z " + secretA + "\n# x\n"))
	f.Add([]byte("2026-03-01T00:00:00Z\t" + secretB + "\r\n2026-02-01T00:00:00+01:00 " + secretA))
	f.Add([]byte("\ufeff2026-03-01T00:00:00Z x"))
	f.Fuzz(func(t *testing.T, file []byte) {
		secrets, err := ParseSecrets(file)
		if (err == nil) != (len(secrets) > 0) {
			t.Fatalf("%d secrets and %v", len(secrets), err)
		}
		for i, s := range secrets {
			if len(s.value) < MinSecret {
				t.Errorf("secret of %d bytes", len(s.value))
			}
			if i > 0 && !secrets[i-1].SignsFrom.Before(s.SignsFrom) {
				t.Errorf("not in order: %v, %v", secrets[i-1], s)
			}
			if strings.Contains(s.String(), s.value) || err != nil && strings.Contains(err.Error(), s.value) {
				t.Error("a secret is printed")
			}
		}
	})
}
