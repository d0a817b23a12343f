package reload

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "users")
	write(t, path, "alice\n")
	got, err := Read(path)
	if err != nil || string(got) != "alice\n" {
		t.Fatalf("Read = %q, %v", got, err)
	}
	t.Chdir(dir)
	if got, err := Read("users"); err != nil || string(got) != "alice\n" {
		t.Errorf("Read of a bare name = %q, %v", got, err)
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }

	mkdir(t, in("folder"))
	if err := syscall.Mkfifo(in("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, in("large"), "")
	if err := os.Truncate(in("large"), maxSize+1); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, "not for us")
	link(t, outside, in("absolute"))
	rel, err := filepath.Rel(dir, outside)
	if err != nil {
		t.Fatal(err)
	}
	link(t, rel, in("relative"))
	link(t, filepath.Dir(rel), in("..data"))
	link(t, "..data/outside", in("through"))
	link(t, "loop", in("loop"))

	const leaves = "a link leaves its folder"
	for _, tt := range []struct {
		name, want string
	}{
		{"missing", "no such file"},
		{"missing/users", "no such file"},
		{"folder", "not a regular file"},
		{"pipe", "not a regular file"},
		{"large", "larger than 32 MiB"},
		{"absolute", leaves},
		{"relative", leaves},
		{"through", leaves},
		{"loop", "too many"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Read(in(tt.name))
			if got != nil || err == nil {
				t.Fatalf("Read = %d bytes, %v; want an error", len(got), err)
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), `"`+in(tt.name)+`": `) {
				t.Errorf("error %q should begin with the path and say %q", err, tt.want)
			}
		})
	}
	if _, err := Read(in("missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v is not fs.ErrNotExist", err)
	}
}

func TestReadAtTheSizeLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	write(t, path, "")
	if err := os.Truncate(path, maxSize); err != nil {
		t.Fatal(err)
	}
	if b, err := Read(path); err != nil || len(b) != maxSize {
		t.Errorf("Read = %d bytes, %v", len(b), err)
	}
}

// kubernetes lays a folder out as a mounted Secret is: the file links through
// ..data to a folder with a time in its name.
func kubernetes(t *testing.T, content string) (dir string, swap func(version, content string)) {
	dir = t.TempDir()
	swap = func(version, content string) {
		t.Helper()
		mkdir(t, filepath.Join(dir, version))
		write(t, filepath.Join(dir, version, "users"), content)
		link(t, version, filepath.Join(dir, "..data_tmp"))
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("..2026_01_01", content)
	link(t, "..data/users", filepath.Join(dir, "users"))
	return dir, swap
}

const every = 5 * time.Second

var errBad = errors.New("line 1: bad")

// watched is a File in a synctest bubble with a record of all that it called.
type watched struct {
	t    *testing.T
	path string
	kick chan struct{}

	mu    sync.Mutex
	calls []string
}

func (w *watched) call(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, s)
}

// watch starts a File that refuses contents beginning with "bad". The rest of
// the test runs inside the bubble.
func watch(t *testing.T, path string, then func(w *watched)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &watched{t: t, path: path, kick: make(chan struct{})}
		f := &File{
			Name: "htpasswd",
			Path: path,
			Apply: func(b []byte) error {
				w.call("apply " + string(b))
				if bytes.HasPrefix(b, []byte("bad")) {
					return errBad
				}
				return nil
			},
			OnReload: func(name string, err error) {
				if err == nil {
					w.call(name + " ok")
				} else {
					w.call(err.Error())
				}
			},
		}
		if err := f.Load(); err != nil {
			t.Fatal(err)
		}
		w.expect("apply one")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Watch(ctx, every, w.kick) }()
		then(w)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch = %v; want nil when its context ends", err)
		}
	})
}

// after lets three looks pass, of which the latter two must add nothing, and
// compares what was called.
func (w *watched) after(want ...string) {
	w.t.Helper()
	time.Sleep(3 * every)
	w.expect(want...)
}

func (w *watched) expect(want ...string) {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if diff := cmp.Diff(want, w.calls); diff != "" {
		w.t.Errorf("calls (-want +got):\n%s", diff)
	}
	w.calls = nil
}

func (w *watched) error(cause string) string { return `htpasswd "` + w.path + `": ` + cause }

func TestWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	write(t, path, "one")
	watch(t, path, func(w *watched) {
		w.after()

		write(t, path, "two")
		w.after("apply two", "htpasswd ok")

		write(t, path, "bad")
		w.after("apply bad", w.error("line 1: bad"))
		write(t, path, "bad again")
		w.after("apply bad again", w.error("line 1: bad"))
		// The content that was in force all the while ends the complaint.
		write(t, path, "two")
		w.after("apply two", "htpasswd ok")

		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		w.after(w.error("no such file or directory"))
		write(t, path, "two")
		w.after("apply two", "htpasswd ok")

		// Another reason not to be readable is a change as well.
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		w.after(w.error("no such file or directory"))
		mkdir(t, path)
		w.after(w.error("not a regular file"))
	})
}

func TestWatchSwappedLink(t *testing.T) {
	dir, swap := kubernetes(t, "one")
	watch(t, filepath.Join(dir, "users"), func(w *watched) {
		w.after()
		swap("..2026_01_02", "two")
		w.after("apply two", "htpasswd ok")
	})
}

func TestWatchReplacedFolder(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "mnt")
	mkdir(t, dir)
	write(t, filepath.Join(dir, "users"), "one")
	watch(t, filepath.Join(dir, "users"), func(w *watched) {
		if err := os.Rename(dir, filepath.Join(base, "old")); err != nil {
			t.Fatal(err)
		}
		mkdir(t, dir)
		write(t, filepath.Join(dir, "users"), "two")
		w.after("apply two", "htpasswd ok")
	})
}

func TestWatchKick(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	write(t, path, "one")
	watch(t, path, func(w *watched) {
		w.kick <- struct{}{}
		w.expect() // nothing changed

		write(t, path, "two")
		w.kick <- struct{}{}
		w.expect("apply two", "htpasswd ok")

		bad := []string{"apply bad", w.error("line 1: bad")}
		write(t, path, "bad")
		w.kick <- struct{}{}
		w.expect(bad...)
		w.kick <- struct{}{}
		w.expect(bad...)
		w.after()

		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		w.after(w.error("no such file or directory"))
		w.kick <- struct{}{}
		w.expect(w.error("no such file or directory"))

		close(w.kick)
		write(t, path, "three")
		w.after("apply three", "htpasswd ok")
	})
}

func TestWatchKickAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	write(t, path, "one")
	synctest.Test(t, func(t *testing.T) {
		applied := 0
		f := &File{Name: "htpasswd", Path: path, Apply: func([]byte) error { applied++; return nil }}
		kick, done := make(chan struct{}), make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- f.Watch(ctx, 0, kick) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		if applied != 0 {
			t.Errorf("applied %d times without a kick", applied)
		}
		kick <- struct{}{}
		cancel()
		if err := <-done; err != nil || applied != 1 {
			t.Errorf("Watch = %v with %d applied; want nil with 1", err, applied)
		}
	})
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "users")
	f := &File{
		Name:     "htpasswd",
		Path:     path,
		Apply:    func([]byte) error { return errBad },
		OnReload: func(string, error) { t.Error("Load both returned and reported") },
	}
	if err, want := f.Load(), `htpasswd "`+path+`": no such file or directory`; err == nil || err.Error() != want {
		t.Errorf("Load of a missing file = %v; want %s", err, want)
	}
	write(t, path, "bad")
	if err, want := f.Load(), `htpasswd "`+path+`": line 1: bad`; err == nil || err.Error() != want || !errors.Is(err, errBad) {
		t.Errorf("Load of a bad file = %v; want %s", err, want)
	}
}
