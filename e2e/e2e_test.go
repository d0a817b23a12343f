// Package e2e runs the service together with the real programs it is made for,
// each with the very file in deploy/ that the documentation shows.
package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authsvc/e2e/proc"
)

func TestMain(m *testing.M) { proc.Main(m) }

const secret = "a secret of the end-to-end tests, over 32 bytes"

// root is the repository.
func root(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// deployed returns the path of a copy of a file of deploy/ with changes.
func deployed(t *testing.T, name string, changes ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), "deploy", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), filepath.Base(name))
	if err := os.WriteFile(path, []byte(replaced(t, string(data), changes...)), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// replaced puts the free addresses of a test where a file has its own. What is
// to be replaced must be there, so that a file that changed does not go untested.
func replaced(t *testing.T, text string, changes ...string) string {
	t.Helper()
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("%q is not in\n%s", changes[i], text)
		}
		text = strings.ReplaceAll(text, changes[i], changes[i+1])
	}
	return text
}

// seen is what the protected app received.
type seen struct {
	Path   string
	Header http.Header
}

// app is a protected app that answers with what it received.
func app(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(seen{r.URL.RequestURI(), r.Header})
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// browser is the real curl with a cookie jar.
type browser struct {
	t   *testing.T
	jar string
}

func newBrowser(t *testing.T) *browser {
	return &browser{t, filepath.Join(t.TempDir(), "jar")}
}

// curl returns the answer's status, what follows a field's name in its head,
// and its body.
func (b *browser) curl(args ...string) answer {
	b.t.Helper()
	out, err := exec.Command(proc.Program(b.t, "curl"), append([]string{"-sS", "-i", "--max-time", "10", "-b", b.jar, "-c", b.jar}, args...)...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("curl %v: %v\n%s", args, err, out)
	}
	head, body, _ := strings.Cut(string(out), "\r\n\r\n")
	status, head, _ := strings.Cut(head, "\r\n")
	a := answer{status: strings.Fields(status)[1], body: body, header: http.Header{}}
	for line := range strings.SplitSeq(head, "\r\n") {
		name, value, _ := strings.Cut(line, ": ")
		a.header.Add(name, value)
	}
	return a
}

type answer struct {
	status string
	header http.Header
	body   string
}

// app reads the answer of the protected app.
func (a answer) app(t *testing.T) seen {
	t.Helper()
	var s seen
	if err := json.Unmarshal([]byte(a.body), &s); err != nil {
		t.Fatalf("the app did not answer: %s %q", a.status, a.body)
	}
	return s
}

// users writes an htpasswd and an htgroup file and returns the variables that
// name them: ann (admins, staff) and bob (staff), password "correct horse".
func users(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	lines := ""
	for _, name := range []string{"ann", "bob"} {
		line, complaint, status := proc.Run(t, nil, "correct horse\n", "hash", "--cost=4", name)
		if status != 0 {
			t.Fatal(complaint)
		}
		lines += line
	}
	for name, content := range map[string]string{"users": lines, "groups": "admins: ann\nstaff: ann bob\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"AUTHSVC_LOGIN=htpasswd", "AUTHSVC_SECRET=" + secret,
		"AUTHSVC_HTPASSWD_FILE=" + filepath.Join(dir, "users"), "AUTHSVC_HTGROUP_FILE=" + filepath.Join(dir, "groups")}
}

// token is the session that the browser holds.
func (b *browser) token() string {
	b.t.Helper()
	data, err := os.ReadFile(b.jar)
	if err != nil {
		b.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 7 && f[5] == "session" {
			return f[6]
		}
	}
	b.t.Fatalf("no session in the jar:\n%s", data)
	return ""
}

// dial reports whether something listens.
func dial(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	return c.Close()
}
