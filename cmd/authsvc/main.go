// Authsvc puts a sign-in in front of any web app.
//
//	authsvc                    serve, configured by the environment
//	authsvc check              say whether the configuration is right, and what was understood
//	authsvc secret             print a new master secret
//	authsvc hash USER          read a password, print a line for the htpasswd file
//	authsvc token --user NAME  print a bearer token for a machine client
//	authsvc health             ask a running service whether it is alive
//	authsvc version
//
// Every variable begins with AUTHSVC_ and is in docs/config.md. The exit
// status is 0 if all went well, 1 if something failed, 2 if the command line
// or the configuration is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// The statuses a command ends with.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

// process is all that a command touches of the world.
type process struct {
	args   []string // behind the command's name
	env    []string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

var commands = map[string]func(context.Context, process) int{
	"":        serve,
	"serve":   serve,
	"check":   check,
	"secret":  newSecret,
	"hash":    hash,
	"token":   mintToken,
	"health":  health,
	"version": printVersion,
	"help":    help,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, process{os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr}))
}

func run(ctx context.Context, p process) int {
	name := ""
	if len(p.args) > 0 {
		name, p.args = p.args[0], p.args[1:]
	}
	switch name {
	case "-h", "-help", "--help":
		name = "help"
	case "-version", "--version":
		name = "version"
	}
	command, ok := commands[name]
	if !ok {
		fmt.Fprintf(p.stderr, "authsvc: there is no command %q\n\n%s", name, usage)
		return exitUsage
	}
	return command(ctx, p)
}

const usage = `authsvc puts a sign-in in front of any web app.

  authsvc                    serve, configured by the environment
  authsvc check              is the configuration right, and what was understood?
  authsvc secret             print a new master secret
      --signs-from=+10m      ... as a line for AUTHSVC_SECRETS_FILE
  authsvc hash USER          read a password, print a line for the htpasswd file
      hash --cost=14 USER    ... with another bcrypt cost
  authsvc token --user NAME  print a bearer token for a machine client
      --group G --name N --email E --ttl 1h
  authsvc health             is the service of this configuration alive?
  authsvc version

To try it out:  AUTHSVC_LOGIN=name authsvc
`

func help(_ context.Context, p process) int {
	io.WriteString(p.stdout, usage)
	return exitOK
}

// flags parses a command's flags; without is the number of arguments it takes.
// When it returns false the person has been told.
func (p process) flags(f *flag.FlagSet, takes int) bool {
	f.SetOutput(p.stderr)
	f.Usage = func() { io.WriteString(p.stderr, usage) }
	if err := f.Parse(p.args); err != nil {
		return false
	}
	if f.NArg() != takes {
		fmt.Fprintf(p.stderr, "authsvc %s: takes %d arguments, was given %d\n\n%s", f.Name(), takes, f.NArg(), usage)
		return false
	}
	return true
}

// fail says why a command failed.
func (p process) fail(command string, err error) int {
	fmt.Fprintf(p.stderr, "authsvc %s: %v\n", command, err)
	return exitFailed
}

// misconfigured prints all problems at once.
func (p process) misconfigured(problems []problem) int {
	if len(problems) == 1 {
		fmt.Fprintln(p.stderr, "authsvc: the configuration has a problem:")
	} else {
		fmt.Fprintf(p.stderr, "authsvc: the configuration has %d problems:\n", len(problems))
	}
	for _, q := range problems {
		fmt.Fprintf(p.stderr, "  %s\n", q)
	}
	return exitUsage
}

var errNoSecret = errors.New("no secret is set: write AUTHSVC_SECRET=$(authsvc secret), the same as the service has")
