package httpx

import (
	"fmt"
	"net/http"
	"time"
)

// jwks publishes the public keys, to be kept for less than the time between a
// key's publication and its first signature.
func (s *Server) jwks(w *exchange, _ *http.Request) error {
	set, maxAge, err := s.Sessions.JWKS(w.began)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/jwk-set+json") // RFC 7517 §8.5.2
	h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(maxAge/time.Second)))
	h.Del("Vary")
	w.Write(set)
	return nil
}

// static serves the stylesheet and what else the pages need.
func (s *Server) static(w *exchange, r *http.Request) error {
	file, mediaType, ok := s.pages.File(r.PathValue("file"))
	if !ok {
		return ErrNotFound
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "public, max-age=300")
	h.Del("Vary")
	w.Write(file)
	return nil
}
