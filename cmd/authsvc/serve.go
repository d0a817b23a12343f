package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	lameDuck    = time.Second      // between "not ready" and closing the listeners
	drain       = 15 * time.Second // for running requests to finish
	reloadEvery = 5 * time.Second
)

// serve is parse → build → listen → wait.
func serve(ctx context.Context, p process) int {
	if !p.flags(flag.NewFlagSet("serve", flag.ContinueOnError), 0) {
		return exitUsage
	}
	c, problems := parse(p.env)
	log := newLog(c, p.stderr)
	s, problems := build(c, problems, log)
	if len(problems) > 0 {
		return p.misconfigured(problems)
	}
	for _, w := range c.warnings() {
		log.Warn(w)
	}
	if err := s.listenAndServe(ctx, c, log); err != nil {
		return p.fail("serve", err)
	}
	log.Info("stopped")
	return exitOK
}

func newLog(c *config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func (s *service) listenAndServe(ctx context.Context, c *config, log *slog.Logger) error {
	public, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("AUTHSVC_LISTEN: %w", err)
	}
	admin, err := net.Listen("tcp", c.AdminListen)
	if err != nil {
		public.Close()
		return fmt.Errorf("AUTHSVC_ADMIN_LISTEN: %w", err)
	}
	// In the order in which they stop: probes are answered to the end.
	servers := []*http.Server{newServer(s.http.Public(), log), newServer(s.http.Admin(), log)}
	listeners := []net.Listener{public, admin}
	g, ctx := errgroup.WithContext(ctx)
	for i, server := range servers {
		g.Go(func() error {
			if err := server.Serve(listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	kicks := make([]chan struct{}, len(s.files))
	for i, f := range s.files {
		kicks[i] = make(chan struct{}, 1)
		g.Go(func() error { return f.Watch(ctx, reloadEvery, kicks[i]) })
	}
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-hup:
				log.Info("reloading", "files", len(s.files))
				for _, k := range kicks {
					select {
					case k <- struct{}{}:
					default: // one is under way
					}
				}
			}
		}
	})
	g.Go(func() error {
		<-ctx.Done()
		s.http.SetReady(false)
		log.Info("stopping")
		// Load balancers need a moment to see that we are not ready; until
		// they do they send requests, which are answered.
		time.Sleep(lameDuck)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		for _, server := range servers {
			if err := server.Shutdown(end); err != nil {
				return fmt.Errorf("requests were still running after %v: %w", drain, err)
			}
		}
		return nil
	})
	s.http.SetReady(true)
	log.Info("ready", "public", public.Addr().String(), "admin", admin.Addr().String(), "base_url", c.BaseURL.String(), "login", c.Login, "alg", string(c.Alg), "version", version())
	return g.Wait()
}

// newServer bounds what a client can hold: time in every phase and header
// bytes. Idle is longer than the keep-alive of proxies, which would otherwise
// race our close with a request.
func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h,
		// Head and body: a limit of its own for the head would be one more
		// deadline to set for each request.
		ReadTimeout:    10 * time.Second,
		WriteTimeout:   30 * time.Second,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
