// Package reload owns files that change while the service runs: reading them
// safely, noticing a change, and handing the new content to whoever owns it.
//
// It does not know what the files mean, and it logs nothing: the first read
// returns its error, the later ones report through [File.OnReload].
package reload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxSize bounds what is read into memory, so that a path to the wrong file,
// or a file that somebody fills, does not take the service down.
const maxSize = 32 << 20 // bytes

// Read returns the content of the file at path, of at most 32 MiB. A link is
// followed within the file's folder only, as Kubernetes links a mounted secret
// through "..data": a link that leaves it could be pointed at any file that
// the service may read. Errors begin with the quoted path and wrap the cause.
func Read(path string) ([]byte, error) {
	b, err := read(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return b, nil
}

func read(dir, name string) ([]byte, error) {
	// Opened anew for each read: a Root kept open would still show the old
	// folder after another one was mounted or renamed into its place.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, cause(err)
	}
	defer root.Close()

	info, err := root.Stat(name)
	if err != nil {
		return nil, cause(err)
	}
	// Opening a named pipe would wait for its writer, for ever.
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()

	// One buffer of the right size: this runs every few seconds. The file may
	// have grown since Stat, so what is read is what counts.
	var b bytes.Buffer
	b.Grow(int(min(info.Size(), maxSize)) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(f, maxSize+1)); err != nil {
		return nil, cause(err)
	}
	if b.Len() > maxSize {
		return nil, fmt.Errorf("larger than %d MiB", maxSize>>20)
	}
	return b.Bytes(), nil
}

// cause takes off the path that os added, which is the base name alone, and
// says in the operator's terms what os.Root means by "path escapes from
// parent". That error is not exported; it is the one that is not the system's.
func cause(err error) error {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		err = pe.Err
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return err
	}
	return fmt.Errorf("a link leaves its folder, and only links within it are followed: %w", err)
}

// File hands the content of a file to Apply: at Load, and each time it changed
// while Watch runs. Its methods must not run at the same time.
//
// A file that is written in place may be seen half written. Apply should refuse
// what it cannot read to the end; renaming a finished file over the old one
// avoids the question.
type File struct {
	// Name says what the file is: "secrets", "htpasswd", "htgroup". It begins
	// each error and is fit for a metric label.
	Name string

	// Path is where the file is. See [Read] for the links that are followed.
	Path string

	// Apply takes the content over, or returns an error and keeps what it had.
	Apply func([]byte) error

	// OnReload learns the outcome of each attempt that Watch made to take over
	// a change, nil when it was applied. A file that cannot be read counts as
	// a change, once. Optional.
	OnReload func(name string, err error)

	last seen
	bad  bool // the last attempt ended in an error
}

// seen is what a look at the file showed: a content, or why there was none.
type seen struct {
	sum [sha256.Size]byte
	err string
}

// Load reads and applies the file for the first time. The error names the file.
// OnReload is not called.
func (f *File) Load() error {
	_, err := f.look(true)
	return err
}

// Watch looks at the file at each interval, and at once for each value from
// kick, until ctx ends; then it returns nil. With an interval of zero or less
// it waits for kick alone.
//
// What is wrong with the file is reported when it changes, not at each look:
// a broken file must not fill the log. A kick reports it again, as somebody
// who sends SIGHUP wants to be told.
//
// A value from kick reaches one File: each needs a channel of its own.
func (f *File) Watch(ctx context.Context, every time.Duration, kick <-chan struct{}) error {
	var tick <-chan time.Time
	if every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		tick = t.C
	}
	for {
		kicked := false
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		case _, ok := <-kick:
			if !ok {
				kick = nil // a closed channel is always ready
				continue
			}
			kicked = true
		}
		changed, err := f.look(kicked && f.bad)
		if changed && f.OnReload != nil {
			f.OnReload(f.Name, err)
		}
	}
}

// look applies the file if it differs from the last look, or if forced. A good
// content that returns after a bad one is a change too, and is applied again:
// that is what tells OnReload that all is well.
func (f *File) look(force bool) (changed bool, err error) {
	var now seen
	b, err := Read(f.Path)
	if err != nil {
		now.err = err.Error()
		err = fmt.Errorf("%s %w", f.Name, err)
	} else {
		now.sum = sha256.Sum256(b)
	}
	if now == f.last && !force {
		return false, nil
	}
	if err == nil {
		if err = f.Apply(b); err != nil {
			err = fmt.Errorf("%s %q: %w", f.Name, f.Path, err)
		}
	}
	f.last, f.bad = now, err != nil
	return true, err
}
