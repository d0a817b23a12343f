package login

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// htpasswd runs Apache's program. Its files are the format, so a machine
// without it has not tested anything.
func htpasswd(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	path, err := exec.LookPath("htpasswd")
	if err != nil {
		t.Fatalf("%v (in Debian's apache2-utils; make test installs it)", err)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	return string(out), err
}

func must(t *testing.T, args ...string) {
	t.Helper()
	if out, err := htpasswd(t, args...); err != nil {
		t.Fatalf("htpasswd: %v: %s", err, out)
	}
}

func TestApacheWritesWeCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	must(t, "-c", "-b", "-B", path, "alice", "wonder land")
	must(t, "-b", "-B", "-C", "10", path, "Ren\u00e9", "caf\u00e9")
	must(t, "-b", "-B", path, "jane doe", strings.Repeat("x", 72))
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h := newHtpasswd(t, string(file), "")
	for _, tt := range []struct{ user, password string }{
		{"alice", "wonder land"},
		{"Ren\u00e9", "caf\u00e9"},
		{"jane doe", strings.Repeat("x", 72)},
	} {
		if _, err := h.Check(t.Context(), tt.user, tt.password); err != nil {
			t.Errorf("Check(%q) = %v", tt.user, err)
		}
		if _, err := h.Check(t.Context(), tt.user, "wrong"); err == nil {
			t.Errorf("Check(%q) takes a wrong password", tt.user)
		}
	}
}

func TestApacheWeakerIsRefused(t *testing.T) {
	for _, flag := range []string{"-m", "-s", "-d", "-p"} {
		path := filepath.Join(t.TempDir(), "users")
		must(t, "-c", "-b", "-B", path, "alice", "wonder")
		must(t, "-b", flag, path, "bob", "builder")
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parseHtpasswd(file)
		if want := "line 2: " + notBcrypt; err == nil || err.Error() != want {
			t.Errorf("htpasswd %s: %v; want %s", flag, err, want)
		}
	}
}

func TestWeWriteApacheChecks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	file := line(t, "alice", "wonder land", 5) + line(t, "Ren\u00e9", "caf\u00e9", 10) + line(t, "jane doe", strings.Repeat("x", 72), 4)
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "-v", "-b", path, "alice", "wonder land")
	must(t, "-v", "-b", path, "Ren\u00e9", "caf\u00e9")
	must(t, "-v", "-b", path, "jane doe", strings.Repeat("x", 72))
	if out, err := htpasswd(t, "-v", "-b", path, "alice", "wrong"); err == nil {
		t.Errorf("htpasswd takes a wrong password: %s", out)
	}
}
