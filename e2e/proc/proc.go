// Package proc starts real programs for tests, ours and others', on free
// loopback ports, and stops them when the test ends. It is used by tests only.
package proc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait. The slowest thing waited for is a program's
// first start on a cold and busy machine.
const patience = 20 * time.Second

// Program finds an installed program; a test that needs one fails without it.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		// Debian keeps daemons out of an ordinary user's PATH.
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			t.Fatalf("%s is not installed: \"make test\" installs what the tests need", name)
		}
	}
	return path
}

// FreeAddr returns a loopback address that nothing listens on just now.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Proc is a running program.
type Proc struct {
	t    testing.TB
	cmd  *exec.Cmd
	out  lockedBuffer
	done chan struct{} // closed when it has ended
}

// Start runs a program with just this environment until the test ends. What it
// wrote is shown if the test fails.
func Start(t testing.TB, env []string, name string, args ...string) *Proc {
	t.Helper()
	p := &Proc{t: t, cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", filepath.Base(name), p.Output())
		}
	})
	return p
}

// Stop asks the program to end, and insists after a while. It returns the exit
// status, -1 if it was killed.
func (p *Proc) Stop() int {
	p.cmd.Process.Signal(syscall.SIGTERM)
	return p.Wait()
}

// Wait waits for the program to end by itself, kills it after a while, and
// returns the exit status, -1 if it was killed.
func (p *Proc) Wait() int {
	select {
	case <-p.done:
	case <-time.After(patience):
		p.cmd.Process.Kill()
		<-p.done
	}
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal.
func (p *Proc) Signal(s os.Signal) { p.cmd.Process.Signal(s) }

// Output is all that the program has written so far.
func (p *Proc) Output() string { return p.out.String() }

// Eventually waits until what holds, or fails with the last of its words.
func Eventually(t testing.TB, what func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := what()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %v", patience, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Answers waits until url answers a GET with 200.
func (p *Proc) Answers(url string) {
	p.t.Helper()
	Eventually(p.t, func() error {
		select {
		case <-p.done:
			p.t.Fatalf("%s ended with %v:\n%s", p.cmd.Path, p.cmd.ProcessState, p.Output())
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		io.Copy(io.Discard, answer.Body)
		if answer.StatusCode != http.StatusOK {
			return errors.New(url + " answers " + answer.Status)
		}
		return nil
	})
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "authsvc-test-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "authsvc")
	out, err := exec.Command("go", "build", "-trimpath", "-o", bin, "authsvc/cmd/authsvc").CombinedOutput()
	if err != nil {
		err = errors.New(string(out))
	}
	return bin, err
})

// Binary builds the service, once for all tests of a package.
func Binary(t testing.TB) string {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatalf("go build: %v", err)
	}
	return bin
}

// Main runs a package's tests and takes the binary away again:
// func TestMain(m *testing.M) { proc.Main(m) }
func Main(m *testing.M) {
	status := m.Run()
	if bin, err := build(); err == nil {
		os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(status)
}

// Service is a running authsvc.
type Service struct {
	*Proc
	URL   string // of the public listener
	Admin string // of the admin listener
}

// Authsvc starts the service on free ports and waits until it is ready. env
// wins over the defaults, which are its own origin as base URL and logs in JSON.
func Authsvc(t testing.TB, env ...string) *Service {
	t.Helper()
	public, admin := FreeAddr(t), FreeAddr(t)
	s := &Service{URL: "http://" + public, Admin: "http://" + admin}
	s.Proc = Start(t, append([]string{
		"AUTHSVC_LISTEN=" + public, "AUTHSVC_ADMIN_LISTEN=" + admin,
		"AUTHSVC_BASE_URL=http://" + public, "AUTHSVC_LOG_FORMAT=json", "AUTHSVC_LOG_LEVEL=debug",
	}, env...), Binary(t))
	s.Answers(s.Admin + "/readyz")
	return s
}

// Run runs the service's binary with arguments until it ends, and returns what
// it wrote and its exit status.
func Run(t testing.TB, env []string, stdin string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(t), args...)
	cmd.Env = append([]string{"HOME=" + t.TempDir()}, env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if e := cmd.Run(); e != nil {
		if exit := (*exec.ExitError)(nil); !errors.As(e, &exit) {
			t.Fatalf("authsvc %v: %v", args, e)
		}
	}
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// lockedBuffer is written by a process while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
