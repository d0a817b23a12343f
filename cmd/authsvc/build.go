package main

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"authsvc/httpx"
	"authsvc/login"
	"authsvc/metrics"
	"authsvc/reload"
	"authsvc/token"
)

// service is everything made from a configuration, not yet listening.
type service struct {
	http     *httpx.Server
	sessions *token.Authority
	files    []*reload.File // to be watched
}

// build opens the files and makes every part. It goes on after a problem, also
// after those that parse has found, so that all are reported at once; with
// problems there is no service.
func build(c *config, problems []problem, log *slog.Logger) (*service, []problem) {
	wrong := func(name string, err error) {
		known := slices.ContainsFunc(problems, func(p problem) bool { return p.name == prefix+name })
		if err != nil && !known {
			problems = append(problems, problem{prefix + name, err.Error(), ""})
		}
	}
	s := &service{}
	var counted *metrics.Metrics
	watch := func(name, path string, apply func([]byte) error) *reload.File {
		f := &reload.File{Name: name, Path: path, Apply: apply, OnReload: func(name string, err error) {
			counted.Reload(name, err)
			if err != nil {
				log.Error("file not applied, what was in force stays", "file", name, "error", err)
				return
			}
			log.Info("file applied", "file", name)
		}}
		s.files = append(s.files, f)
		return f
	}

	var file *reload.File
	if c.SecretsFile != "" {
		file = watch("secrets", c.SecretsFile, func(data []byte) error {
			secrets, err := token.ParseSecrets(data)
			if err == nil {
				err = s.sessions.SetSecrets(secrets, time.Now())
			}
			return err
		})
	}
	secrets, variable, err := c.secrets()
	if err == nil && len(c.keyProblems()) == 0 && c.Alg != "" {
		s.sessions, err = token.New(token.Config{
			Algorithm: c.Alg, Secrets: secrets, Rotation: c.KeyRotation, TTL: c.SessionTTL, Max: c.SessionMax,
		}, time.Now())
	}
	if err == nil && file != nil && s.sessions != nil {
		err = file.Load() // remembers what it has seen, to tell a change
	}
	wrong(variable, err)

	var (
		accounts httpx.Accounts = login.Name{}
		hashing  func() (int, int, uint64)
	)
	if c.Login == "htpasswd" {
		// One processor is left to checks where there are several. A waiter
		// costs a connection and gives up with its client; sixteen hashes
		// are a few seconds, which is as long as a person waits.
		slots := max(1, runtime.GOMAXPROCS(0)-1)
		gate := login.NewGate(slots, 16*slots)
		hashing = func() (int, int, uint64) {
			running, waiting := gate.Stats()
			return running, waiting, gate.Refused()
		}
		users := login.NewHtpasswd(gate)
		accounts = users
		if c.HtpasswdFile != "" {
			wrong("HTPASSWD_FILE", watch("htpasswd", c.HtpasswdFile, users.SetUsers).Load())
		}
		if c.HtgroupFile != "" {
			wrong("HTGROUP_FILE", watch("htgroup", c.HtgroupFile, users.SetGroups).Load())
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}

	names := []string{}
	for _, f := range s.files {
		names = append(names, f.Name)
	}
	counted = metrics.New(metrics.Config{
		Version: version(), Routes: httpx.RouteNames(), Dialects: httpx.Dialects(), Methods: []string{c.Login}, Files: names,
		Hashing: hashing,
		Keys: func() []metrics.Key {
			var keys []metrics.Key
			for _, k := range s.sessions.Keys(time.Now()) {
				keys = append(keys, metrics.Key{KID: k.KID, State: string(k.State), SignsFrom: k.SignsFrom, Retires: k.Retires, Verified: k.Verified})
			}
			return keys
		},
	})
	returns, err := httpx.NewReturns(&c.BaseURL.URL, c.ReturnHosts)
	wrong("RETURN_HOSTS", err)
	s.http, err = httpx.New(httpx.Config{
		BaseURL: &c.BaseURL.URL, Returns: returns, TrustedProxies: c.trusted(),
		Cookie: c.cookie(), CookieRoutes: c.CookieRoutes,
		Sessions: s.sessions, Method: c.Login, Accounts: accounts, AskPassword: c.Login != "name",
		Metrics: counted, Log: log,
	})
	wrong("BASE_URL", err)
	return s, problems
}

// secrets reads the master secrets from wherever they are, and says from which
// variable. With sign-in by name none is needed: a random one is made.
func (c *config) secrets() ([]token.Secret, string, error) {
	one := func(value, variable string) ([]token.Secret, string, error) {
		s, err := token.NewSecret(value, time.Time{})
		return []token.Secret{s}, variable, err
	}
	switch {
	case c.SecretsFile != "":
		data, err := reload.Read(c.SecretsFile)
		if err != nil {
			return nil, "SECRETS_FILE", err
		}
		secrets, err := token.ParseSecrets(data)
		if err != nil {
			err = fmt.Errorf("secrets %q: %w", c.SecretsFile, err)
		}
		return secrets, "SECRETS_FILE", err
	case c.SecretFile != "":
		data, err := reload.Read(c.SecretFile)
		if err != nil {
			return nil, "SECRET_FILE", err
		}
		return one(trimNewline(string(data)), "SECRET_FILE")
	case c.Secret != "":
		return one(string(c.Secret), "SECRET")
	}
	return one(rand.Text()+rand.Text(), "SECRET")
}

// trimNewline drops the one newline that editors and echo add.
func trimNewline(s string) string {
	if n := len(s); n > 0 && s[n-1] == '\n' {
		s = s[:n-1]
	}
	if n := len(s); n > 0 && s[n-1] == '\r' {
		s = s[:n-1]
	}
	return s
}
