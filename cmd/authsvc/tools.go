package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"authsvc/login"
	"authsvc/token"
)

// newSecret prints 32 random bytes, alone or as a line of the secrets file.
func newSecret(_ context.Context, p process) int {
	f := flag.NewFlagSet("secret", flag.ContinueOnError)
	from := f.String("signs-from", "", "")
	if !p.flags(f, 0) {
		return exitUsage
	}
	random := make([]byte, 32)
	rand.Read(random) // never fails since Go 1.24
	line := base64.RawURLEncoding.EncodeToString(random)
	if *from != "" {
		at, err := instant(*from, time.Now())
		if err != nil {
			fmt.Fprintf(p.stderr, "authsvc secret: --signs-from: %v\n", err)
			return exitUsage
		}
		line = at.UTC().Format(time.RFC3339) + " " + line
	}
	fmt.Fprintln(p.stdout, line)
	return exitOK
}

// instant reads +10m, from now, or an RFC 3339 instant.
func instant(s string, now time.Time) (time.Time, error) {
	if rest, ok := strings.CutPrefix(s, "+"); ok {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 {
			return time.Time{}, fmt.Errorf("%q is not a duration from now: write +10m", s)
		}
		return now.Add(d), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a duration from now (+10m) nor an RFC 3339 instant (2026-01-02T15:04:05Z)", s)
	}
	return at, nil
}

// hash reads a password from the terminal, twice, or a line of stdin.
func hash(_ context.Context, p process) int {
	f := flag.NewFlagSet("hash", flag.ContinueOnError)
	cost := f.Int("cost", login.DefaultCost, "")
	if !p.flags(f, 1) {
		return exitUsage
	}
	password, err := p.readPassword()
	if err != nil {
		return p.fail("hash", err)
	}
	line, err := login.Hash(f.Arg(0), password, *cost)
	if err != nil {
		return p.fail("hash", err)
	}
	fmt.Fprintln(p.stdout, line)
	return exitOK
}

func (p process) readPassword() (string, error) {
	if in, ok := p.stdin.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		ask := func(prompt string) (string, error) {
			fmt.Fprint(p.stderr, prompt)
			defer fmt.Fprintln(p.stderr)
			b, err := term.ReadPassword(int(in.Fd()))
			return string(b), err
		}
		first, err := ask("password: ")
		if err != nil {
			return "", err
		}
		second, err := ask("again: ")
		if err == nil && first != second {
			err = errors.New("the two passwords differ")
		}
		return nonEmpty(first, err)
	}
	line, err := bufio.NewReader(io.LimitReader(p.stdin, 4096)).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return nonEmpty(trimNewline(line), err)
}

func nonEmpty(password string, err error) (string, error) {
	if err == nil && password == "" {
		err = errors.New("the password is empty")
	}
	return password, err
}

// words collects a flag that may be repeated.
type words []string

func (w *words) String() string     { return strings.Join(*w, ",") }
func (w *words) Set(s string) error { *w = append(*w, s); return nil }

// mintToken prints a token for a machine client. It is made with the service's
// secret and needs no running service.
func mintToken(_ context.Context, p process) int {
	f := flag.NewFlagSet("token", flag.ContinueOnError)
	var (
		id     token.Identity
		groups words
		ttl    time.Duration
	)
	f.StringVar(&id.User, "user", "", "")
	f.Var(&groups, "group", "")
	f.StringVar(&id.Name, "name", "", "")
	f.StringVar(&id.Email, "email", "", "")
	f.DurationVar(&ttl, "ttl", 0, "")
	if !p.flags(f, 0) {
		return exitUsage
	}
	// Who may sign in, and where, does not matter here.
	c, problems := parse(p.env)
	problems = slices.DeleteFunc(problems, func(q problem) bool {
		name := strings.TrimPrefix(q.name, prefix)
		return !strings.HasPrefix(name, "SECRET") && !strings.HasPrefix(name, "SESSION_") && name != "ALG" && name != "KEY_ROTATION"
	})
	if len(problems) > 0 {
		return p.misconfigured(problems)
	}
	if c.Secret == "" && c.SecretFile == "" && c.SecretsFile == "" {
		return p.fail("token", errNoSecret)
	}
	if ttl < 0 || ttl > c.SessionMax {
		// A longer one would outlive its key, and any revocation.
		return p.fail("token", fmt.Errorf("--ttl %v: at most AUTHSVC_SESSION_MAX, %v", ttl, c.SessionMax))
	}
	secrets, variable, err := c.secrets()
	if err != nil {
		return p.fail("token", fmt.Errorf("%s%s: %w", prefix, variable, err))
	}
	sessions, err := token.New(token.Config{Algorithm: c.Alg, Secrets: secrets, Rotation: c.KeyRotation, TTL: c.SessionTTL, Max: c.SessionMax}, time.Now())
	if err != nil {
		return p.fail("token", err)
	}
	id.Groups = groups
	raw, claims, err := sessions.Mint(id, token.Grant{Via: token.ViaToken, TTL: ttl}, time.Now())
	if err != nil {
		return p.fail("token", err)
	}
	fmt.Fprintln(p.stdout, raw)
	fmt.Fprintf(p.stderr, "for %s until %s\n", claims.Subject, claims.Expires.Time().UTC().Format(time.RFC3339))
	return exitOK
}

// health asks the admin listener of this configuration, as Docker does.
func health(ctx context.Context, p process) int {
	if !p.flags(flag.NewFlagSet("health", flag.ContinueOnError), 0) {
		return exitUsage
	}
	c, _ := parse(p.env)
	host, port, err := net.SplitHostPort(c.AdminListen)
	if err != nil {
		return p.fail("health", err)
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1" // an image from scratch has no /etc/hosts to find localhost in
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+net.JoinHostPort(host, port)+"/healthz", nil)
	if err != nil {
		return p.fail("health", err)
	}
	// Not through a proxy, whatever HTTP_PROXY says.
	answer, err := (&http.Client{Transport: &http.Transport{}}).Do(r)
	if err != nil {
		return p.fail("health", err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return p.fail("health", fmt.Errorf("%s answered %s", r.URL, answer.Status))
	}
	fmt.Fprintln(p.stdout, "ok")
	return exitOK
}

// release is set by the linker in a release build.
var release string

func version() string {
	if release != "" {
		return release
	}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "(devel)"
}

func printVersion(_ context.Context, p process) int {
	fmt.Fprintf(p.stdout, "authsvc %s, %s, %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return exitOK
}
