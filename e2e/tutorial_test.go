package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"authsvc/e2e/proc"
)

// The tutorial, step by step, as somebody with curl and a jar does it.
func TestTutorial(t *testing.T) {
	s := proc.Authsvc(t, "AUTHSVC_LOGIN=name")
	b := newBrowser(t)
	step := func(status, body string, args ...string) answer {
		t.Helper()
		a := b.curl(args...)
		if a.status != status || body != "" && strings.TrimSpace(a.body) != body {
			t.Errorf("curl %v: %s %q, want %s %q", args, a.status, a.body, status, body)
		}
		return a
	}
	step("200", "hello world", s.URL+"/")
	if a := step("200", "", s.URL+"/login"); !strings.Contains(a.body, `name="user_name"`) {
		t.Errorf("the form: %s", a.body)
	}
	step("401", "You are not signed in.", s.URL+"/show")
	a := step("200", "success", "-d", "user_name=letian", s.URL+"/do_login")
	if c := a.header.Get("Set-Cookie"); !regexp.MustCompile(`^session=[\w.-]+; Path=/; HttpOnly; SameSite=Lax$`).MatchString(c) {
		t.Errorf("the cookie of a session that ends with the browser: %q", c)
	}
	step("200", "letian", s.URL+"/show")
	if a := step("200", "", "-H", "Accept: application/json", s.URL+"/show"); !strings.Contains(a.body, `"exp":`) || !strings.Contains(a.body, `"sub":"letian"`) {
		t.Errorf("claims: %s", a.body)
	}
	if a := step("303", "", s.URL+"/logout"); a.header.Get("Location") != "/login" {
		t.Errorf("after sign-out: %v", a.header)
	}
	step("401", "You are not signed in.", s.URL+"/show")

	// session.permanent
	a = step("200", "success", "-d", "user_name=letian&permanent=on", s.URL+"/do_login")
	if c := a.header.Get("Set-Cookie"); !strings.Contains(c, "; Max-Age=3600; ") {
		t.Errorf("the cookie of a session that outlives the browser: %q", c)
	}
	step("303", "", "-X", "POST", s.URL+"/logout")

	// The second half: raw cookies.
	a = step("200", "add cookies", s.URL+"/add")
	if c := a.header.Get("Set-Cookie"); c != "name=letian; Path=/; Max-Age=360; HttpOnly; SameSite=Lax" {
		t.Errorf("the raw cookie: %q", c)
	}
	step("200", "name=letian", s.URL+"/cookies")
	step("200", "delete cookies", s.URL+"/del")
	step("200", "", s.URL+"/cookies")

	off := proc.Authsvc(t, "AUTHSVC_LOGIN=name", "AUTHSVC_COOKIE_ROUTES=false")
	for _, path := range []string{"/add", "/cookies", "/del"} {
		step("404", "There is nothing here.", off.URL+path)
	}
}

// block returns the first fenced block of a language in a page, without its fences.
func block(t *testing.T, page, language string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(page)))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(data), "```"+language+"\n")
	text, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatalf("%s has no block of %s", page, language)
	}
	return text
}

// The README's session with curl is run as it stands there and must print what
// it says there.
func TestReadmeSession(t *testing.T) {
	session := block(t, "README.md", "console")
	s := proc.Authsvc(t, "AUTHSVC_LOGIN=name")
	dir := t.TempDir()
	var got strings.Builder
	for line := range strings.Lines(session) {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		got.WriteString(line)
		cmd := exec.Command("sh", "-c", strings.ReplaceAll(command, "http://127.0.0.1:8080", s.URL))
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v", command, err)
		}
		got.Write(out)
	}
	// A session and the times in it are another each time; what ends a line
	// is not seen.
	volatile := regexp.MustCompile(`"(exp|nbf|iat|auth_time|sid)":"?[\w-]+"?|(?m)[ \r]+$`)
	mask := func(text string) string {
		return volatile.ReplaceAllString(strings.ReplaceAll(text, s.URL, "http://127.0.0.1:8080"), "")
	}
	if d := cmp.Diff(mask(session), mask(got.String())); d != "" {
		t.Errorf("the README's session prints something else: -README +real\n%s", d)
	}
}
