package httpx

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// recorder remembers the status that was written.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// serve is what happens around every handler: the guard, one place for errors
// and panics, metrics, and the access line.
func (s *Server) serve(rt route) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start := time.Now()
		w := &recorder{ResponseWriter: rw}
		s.always(w.Header())
		err := s.try(rt, w, r)
		switch {
		case err == nil || w.status != 0:
		case rt.fail != nil:
			rt.fail(w, r, err)
		default:
			s.writeError(w, r, err)
		}
		if w.status == 0 {
			w.WriteHeader(http.StatusOK)
		}
		took := time.Since(start)
		s.Metrics.Request(rt.name, w.status, took)
		if rt.count != nil {
			rt.count(err, took)
		}
		s.access(rt, w, r, err, took)
	})
}

// try runs the guard and the handler and turns a panic into an error: a check
// whose handler panics is refused like any other failure, and never ends as a
// connection that closed.
func (s *Server) try(rt route, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("panic", "route", rt.name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	if rt.guard != nil {
		if err := rt.guard(r); err != nil {
			return err
		}
	}
	return rt.handle(w, r)
}

// always sets the headers of every answer. A handler that writes what anyone
// may keep replaces Cache-Control.
func (s *Server) always(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Cookie, Accept")
	h.Set("X-Content-Type-Options", "nosniff")
	// no-referrer makes browsers send "Origin: null" with a form post. Where
	// they send Fetch Metadata too, that does no harm; over plain http to
	// another host they do not, and signing in would be refused.
	if s.trustworthy(s.BaseURL) {
		h.Set("Referrer-Policy", "no-referrer")
	} else {
		h.Set("Referrer-Policy", "same-origin")
	}
}

// access writes the line of one request. Query strings, cookies and the
// headers with credentials are never in it.
func (s *Server) access(rt route, w *recorder, r *http.Request, err error, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case w.status >= 500 && w.status != http.StatusServiceUnavailable:
		level = slog.LevelError
	case rt.quiet && err == nil:
		level = slog.LevelDebug
	}
	if !s.Log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("route", rt.name), slog.String("method", r.Method), slog.Int("status", w.status),
		slog.Duration("took", took), slog.String("peer", r.RemoteAddr),
	}
	if rt.name == other {
		attrs = append(attrs, slog.String("path", r.URL.Path))
	}
	if err != nil {
		attrs = append(attrs, slog.String("reason", outcomeOf(err).reason), slog.String("error", err.Error()))
	}
	s.Log.LogAttrs(r.Context(), level, "request", attrs...)
}
