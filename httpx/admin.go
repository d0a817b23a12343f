package httpx

import "net/http"

func (s *Server) metrics(w *exchange, r *http.Request) error {
	s.Metrics.Handler().ServeHTTP(w, r)
	return nil
}

// healthz says that the process answers.
func (s *Server) healthz(w *exchange, _ *http.Request) error {
	writeText(w, http.StatusOK, "ok")
	return nil
}

// readyz says that requests should be sent here: not before the listeners are
// open, and not any more once the process was told to stop.
func (s *Server) readyz(w *exchange, _ *http.Request) error {
	if !s.ready.Load() {
		return ErrNotReady
	}
	writeText(w, http.StatusOK, "ready")
	return nil
}
