package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"authsvc/e2e/proc"
)

func TestMain(m *testing.M) { proc.Main(m) }

// ask sends one request and returns status, header and body.
func ask(t *testing.T, method, url, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(text)
}

// expect runs a command and compares its status and what it says.
func expect(t *testing.T, env []string, stdin string, status int, stdout, stderr string, args ...string) string {
	t.Helper()
	out, complaint, got := proc.Run(t, env, stdin, args...)
	if got != status || !regexp.MustCompile(stdout).MatchString(out) || !regexp.MustCompile(stderr).MatchString(complaint) {
		t.Errorf("authsvc %v: status %d\nstdout %q\nstderr %q\nwant %d, %q, %q", args, got, out, complaint, status, stdout, stderr)
	}
	return out
}

func TestSmallCommands(t *testing.T) {
	expect(t, nil, "", 0, `^[\w-]{43}\n$`, `^$`, "secret")
	expect(t, nil, "", 0, `^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ [\w-]{43}\n$`, `^$`, "secret", "--signs-from=+10m")
	expect(t, nil, "", 0, `^2030-01-02T03:04:05Z `, `^$`, "secret", "--signs-from=2030-01-02T04:04:05+01:00")
	expect(t, nil, "", 2, `^$`, `"soon" is neither a duration from now \(\+10m\) nor`, "secret", "--signs-from=soon")
	expect(t, nil, "", 2, `^$`, `takes 0 arguments, was given 1`, "secret", "more")
	expect(t, nil, "correct horse\n", 0, `^ann:\$2y\$04\$[./\w]{53}\n$`, `^$`, "hash", "--cost=4", "ann")
	expect(t, nil, "\n", 1, `^$`, `the password is empty`, "hash", "ann")
	expect(t, nil, strings.Repeat("a", 73), 1, `^$`, `72 bytes`, "hash", "ann")
	expect(t, nil, "x", 1, `^$`, `a:b`, "hash", "--cost=4", "a:b")
	expect(t, nil, "x", 2, `^$`, `takes 1 arguments`, "hash")
	expect(t, nil, "", 2, `^$`, `takes 0 arguments`, "check", "x")
	expect(t, nil, "", 0, `^authsvc .*, go1\.`, `^$`, "version")
	expect(t, nil, "", 0, `authsvc hash USER`, `^$`, "help")
	expect(t, nil, "", 2, `^$`, `there is no command "frobnicate"`, "frobnicate")
	expect(t, []string{"AUTHSVC_ADMIN_LISTEN=" + proc.FreeAddr(t)}, "", 1, `^$`, `connection refused`, "health")
	expect(t, nil, "", 2, `^$`, `(?s)2 problems.*AUTHSVC_LOGIN: not set.*AUTHSVC_SECRET: not set.*write: AUTHSVC_SECRET=\$\(authsvc secret\)`)
}

func TestCheckCommand(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	users := file("users", expect(t, nil, "x", 0, `.`, `^$`, "hash", "--cost=4", "ann"))
	env := []string{"AUTHSVC_LOGIN=htpasswd", "AUTHSVC_HTPASSWD_FILE=" + users, "AUTHSVC_SECRET=" + good}
	out := expect(t, env, "", 0, `(?s)\* AUTHSVC_SECRET +\(redacted\)\n.*session cookie: session=.*key \S+: signing.*the configuration is right`, `^$`, "check")
	if strings.Contains(out, good) {
		t.Error("check prints the secret")
	}
	// All at once: what can be seen in the environment …
	expect(t, []string{"AUTHSVC_LOGIN=name", "AUTHSVC_LISTEN=:0", "AUTHSVC_SESSION_TTL=x"}, "", 2, `^$`, `(?s)2 problems.*SESSION_TTL.*AUTHSVC_LOGIN`, "check")
	// … and what in the files.
	env = []string{"AUTHSVC_LOGIN=htpasswd", "AUTHSVC_LOG_FORMAT=xml", "AUTHSVC_HTPASSWD_FILE=" + file("bad", "ann:$apr1$abc$def\nbob\n"), "AUTHSVC_HTGROUP_FILE=" + dir + "/none",
		"AUTHSVC_SECRETS_FILE=" + file("secrets", "now "+good)}
	out = expect(t, env, "", 2, `^$`, `(?s)4 problems.*AUTHSVC_LOG_FORMAT.*AUTHSVC_SECRETS_FILE: secrets ".*": line 1: .*AUTHSVC_HTPASSWD_FILE: htpasswd ".*": line 1: not bcrypt.*line 2: .*AUTHSVC_HTGROUP_FILE: htgroup ".*": `, "check")
	_, complaint, _ := proc.Run(t, env, "", "check")
	if strings.Contains(out+complaint, good) || strings.Contains(complaint, "apr1") {
		t.Errorf("the error repeats a secret: %s", complaint)
	}
	expect(t, []string{"AUTHSVC_LOGIN=htpasswd", "AUTHSVC_HTPASSWD_FILE=" + users, "AUTHSVC_SECRET_FILE=" + file("short", good[:31]+"\n")}, "", 2, `^$`, `AUTHSVC_SECRET_FILE: secret is 31 bytes long`, "check")
	expect(t, []string{"AUTHSVC_LOGIN=htpasswd", "AUTHSVC_HTPASSWD_FILE=" + users, "AUTHSVC_SECRETS_FILE=" + file("future", "2099-01-01T00:00:00Z "+good)}, "", 2, `^$`, `no secret signs yet: the first does from 2099`, "check")
}

// A file secret and an environment secret are the same secret: the newline that
// every editor adds is not part of it.
func TestTokenCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(good+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := proc.Authsvc(t, "AUTHSVC_LOGIN=name", "AUTHSVC_SECRET="+good)
	raw := strings.TrimSpace(expect(t, []string{"AUTHSVC_SECRET_FILE=" + path}, "", 0, `^ey[\w.-]+\n$`, `^for ci until 20`, "token", "--user=ci", "--group=deploy", "--group=build", "--ttl=2h"))
	status, header, _ := ask(t, "GET", s.URL+"/verify?group=deploy", "", "Authorization", "Bearer "+raw)
	if status != 200 || header.Get("Remote-User") != "ci" || header.Get("Remote-Groups") != "deploy,build" || header.Get("Set-Cookie") != "" {
		t.Errorf("%d %v", status, header)
	}
	expect(t, []string{"AUTHSVC_SECRET=" + good}, "", 1, `^$`, `--ttl 48h0m0s: at most AUTHSVC_SESSION_MAX, 24h0m0s`, "token", "--user=ci", "--ttl=48h")
	expect(t, []string{"AUTHSVC_SECRET=" + good}, "", 1, `^$`, `user name is empty`, "token")
	expect(t, []string{"AUTHSVC_LOGIN=name"}, "", 1, `^$`, `no secret is set`, "token", "--user=ci")
	expect(t, nil, "", 2, `^$`, `AUTHSVC_SECRET: not set`, "token", "--user=ci")
	expect(t, []string{"AUTHSVC_SECRET=" + good, "AUTHSVC_SESSION_TTL=soon"}, "", 2, `^$`, `problem:\n  AUTHSVC_SESSION_TTL: .*"soon"`, "token", "--user=ci")
}

// SIGTERM: first not ready, then what runs may finish, then gone with status 0.
func TestStop(t *testing.T) {
	s := proc.Authsvc(t, "AUTHSVC_LOGIN=name")
	out, complaint, status := proc.Run(t, []string{"AUTHSVC_ADMIN_LISTEN=" + strings.TrimPrefix(s.Admin, "http://")}, "", "health")
	if status != 0 || out != "ok\n" {
		t.Errorf("health: %d %q %q", status, out, complaint)
	}
	slow, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	slow.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(slow, "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 16\r\n\r\nuser_name=")
	// The request is running once the service has read its head; a second
	// connection's answer says that the accept loop has been there.
	ask(t, "GET", s.URL+"/", "")

	s.Signal(syscall.SIGTERM)
	proc.Eventually(t, func() error {
		if status, _, _ := ask(t, "GET", s.Admin+"/readyz", ""); status != 503 {
			return fmt.Errorf("readyz is %d", status)
		}
		return nil
	})
	if status, _, _ := ask(t, "GET", s.URL+"/", ""); status != 200 {
		t.Errorf("while not ready requests still come, and get %d", status)
	}
	proc.Eventually(t, func() error {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err == nil {
			c.Close()
			return errors.New("still listening")
		}
		return nil
	})
	fmt.Fprint(slow, "letian")
	answer, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil || answer.StatusCode != 200 {
		t.Errorf("the request that was running: %v, %v", answer, err)
	}
	if status := s.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// Users come and go while the service runs; a file with a mistake in it leaves
// things as they were and says so.
func TestReloadUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	line := func(name string) string {
		return expect(t, nil, "correct horse\n", 0, `.`, `^$`, "hash", "--cost=4", name)
	}
	write := func(content string) {
		if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	ann, bob := line("ann"), line("bob")
	write(ann)
	s := proc.Authsvc(t, "AUTHSVC_LOGIN=htpasswd", "AUTHSVC_SECRET="+good, "AUTHSVC_HTPASSWD_FILE="+path)
	signIn := func(name string) int {
		status, _, _ := ask(t, "POST", s.URL+"/login", "user_name="+name+"&password=correct+horse")
		return status
	}
	metric := func(line string) {
		t.Helper()
		proc.Eventually(t, func() error {
			if _, _, body := ask(t, "GET", s.Admin+"/metrics", ""); !strings.Contains(body, "\n"+line+"\n") {
				return errors.New("no line " + line)
			}
			return nil
		})
	}
	if a, b := signIn("ann"), signIn("bob"); a != 200 || b != 401 {
		t.Fatalf("ann %d, bob %d", a, b)
	}
	write(ann + bob)
	s.Signal(syscall.SIGHUP)
	metric(`authsvc_file_reloads_total{file="htpasswd",result="applied"} 1`)
	if a, b := signIn("ann"), signIn("bob"); a != 200 || b != 200 {
		t.Errorf("bob was added: ann %d, bob %d", a, b)
	}
	write(ann + "bob:plain\n")
	s.Signal(syscall.SIGHUP)
	metric(`authsvc_file_current{file="htpasswd"} 0`)
	if a, b := signIn("ann"), signIn("bob"); a != 200 || b != 200 {
		t.Errorf("the file is bad, what was in force stays: ann %d, bob %d", a, b)
	}
	if !strings.Contains(s.Output(), `line 2: not bcrypt`) || strings.Contains(s.Output(), "plain") {
		t.Errorf("the log names the line and not the password:\n%s", s.Output())
	}
	write(bob) // and nobody says anything: found within seconds
	metric(`authsvc_file_current{file="htpasswd"} 1`)
	if a, b := signIn("ann"), signIn("bob"); a != 401 || b != 200 {
		t.Errorf("ann was removed: ann %d, bob %d", a, b)
	}
}

// A secret is replaced while two replicas run: a line that signs in a moment is
// appended to both files, and no session ends on either.
func TestReplaceSecret(t *testing.T) {
	var files [2]string
	var replicas [2]*proc.Service
	first := expect(t, nil, "", 0, `.`, `^$`, "secret", "--signs-from=2026-01-01T00:00:00Z")
	for i := range files {
		files[i] = filepath.Join(t.TempDir(), "secrets")
		if err := os.WriteFile(files[i], []byte(first), 0o600); err != nil {
			t.Fatal(err)
		}
		replicas[i] = proc.Authsvc(t, "AUTHSVC_LOGIN=name", "AUTHSVC_SECRETS_FILE="+files[i])
	}
	signIn := func(s *proc.Service) (cookie, kid string) {
		_, header, _ := ask(t, "POST", s.URL+"/login", "user_name=letian")
		cookie, _, _ = strings.Cut(header.Get("Set-Cookie"), ";")
		head, _, _ := strings.Cut(strings.TrimPrefix(cookie, "session="), ".")
		return cookie, head
	}
	accepted := func(cookie string) {
		t.Helper()
		for i, s := range replicas {
			if status, _, _ := ask(t, "GET", s.URL+"/verify", "", "Cookie", cookie); status != 200 {
				t.Errorf("replica %d: %d", i, status)
			}
		}
	}
	old, oldKey := signIn(replicas[0])
	second := expect(t, nil, "", 0, `.`, `^$`, "secret", "--signs-from=+4s")
	for i, s := range replicas { // one after the other
		if err := os.WriteFile(files[i], []byte(first+second), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Signal(syscall.SIGHUP)
		proc.Eventually(t, func() error {
			if _, _, body := ask(t, "GET", s.Admin+"/metrics", ""); !strings.Contains(body, `authsvc_file_reloads_total{file="secrets",result="applied"} 1`) {
				return errors.New("not reloaded")
			}
			return nil
		})
		accepted(old)
	}
	proc.Eventually(t, func() error {
		cookie, key := signIn(replicas[1])
		accepted(cookie)
		if key == oldKey {
			return errors.New("the new secret does not sign")
		}
		return nil
	})
	accepted(old)
	for _, s := range replicas {
		cookie, _ := signIn(s)
		accepted(cookie)
		if strings.Contains(s.Output(), strings.Fields(second)[1]) {
			t.Error("the log has the secret")
		}
	}
}

// A client cannot hold more of the service than a bounded head.
func TestHeadIsBounded(t *testing.T) {
	s := proc.Authsvc(t, "AUTHSVC_LOGIN=name")
	for size, want := range map[int]int{32 << 10: 401, 128 << 10: 431} {
		if status, _, _ := ask(t, "GET", s.URL+"/verify", "", "X-Large", strings.Repeat("a", size)); status != want {
			t.Errorf("a head of %d bytes: %d, want %d", size, status, want)
		}
	}
}

// More sign-ins at once than can be hashed in reasonable time are told to come
// back; those that wait get their turn.
func TestSignInFlood(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(expect(t, nil, "correct horse\n", 0, `.`, `^$`, "hash", "--cost=10", "ann")), 0o600); err != nil {
		t.Fatal(err)
	}
	s := proc.Authsvc(t, "AUTHSVC_LOGIN=htpasswd", "AUTHSVC_SECRET="+good, "AUTHSVC_HTPASSWD_FILE="+path)
	clients := 40 * runtime.NumCPU() // there are 17 places for each, running and waiting
	answers := make(chan int, clients)
	for range clients {
		go func() {
			r, _ := http.NewRequest("POST", s.URL+"/login", strings.NewReader("user_name=ann&password=correct+horse"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				answers <- 0
				return
			}
			answer.Body.Close()
			if answer.StatusCode == 503 && answer.Header.Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
			answers <- answer.StatusCode
		}()
	}
	got := map[int]int{}
	for range clients {
		got[<-answers]++
	}
	if got[200] == 0 || got[503] == 0 || got[200]+got[503] != clients {
		t.Errorf("answers: %v, want some 200, some 503 and nothing else", got)
	}
}
