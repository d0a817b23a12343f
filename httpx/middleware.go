package httpx

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// exchange is one request being answered: the ResponseWriter of its handler,
// which remembers when it began and with what status it was answered. A check
// has one time: whether a session is valid, due or past does not change on the
// way (and asking for the time is 50 ns). Only a sign-in asks again, because it
// may have waited.
type exchange struct {
	http.ResponseWriter
	began  time.Time
	status int
}

func (w *exchange) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *exchange) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

func (w *exchange) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// serve is what happens around every handler: the guard, one place for errors
// and panics, metrics, and the access line.
func (s *Server) serve(rt route) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w := &exchange{ResponseWriter: rw, began: time.Now()}
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
		took := time.Since(w.began)
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
func (s *Server) try(rt route, w *exchange, r *http.Request) (err error) {
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

// The headers of every answer. The lists are shared by all answers and never
// written to: one more allocation each was 15 ns of a check, and there are four.
var (
	noStore      = []string{"no-store"}
	varies       = []string{"Cookie, Accept"}
	nosniff      = []string{"nosniff"}
	noReferrer   = []string{"no-referrer"}
	ownReferrers = []string{"same-origin"}
)

// always sets the headers of every answer. A handler that writes what anyone
// may keep replaces Cache-Control.
func (s *Server) always(h http.Header) {
	h["Cache-Control"] = noStore
	h["Vary"] = varies
	h["X-Content-Type-Options"] = nosniff
	h["Referrer-Policy"] = s.referrer
}

// access writes the line of one request. Query strings, cookies and the
// headers with credentials are never in it.
func (s *Server) access(rt route, w *exchange, r *http.Request, err error, took time.Duration) {
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
