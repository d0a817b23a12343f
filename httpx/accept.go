package httpx

import (
	"net/http"
	"strings"

	"authsvc/httpx/page"
)

// form is how an answer is written.
type form int

const (
	text form = iota
	jsonText
	html
)

// wants says which form a client asks for: whoever names text/html is a
// browser, whoever names JSON gets JSON, and curl, which names neither, text.
func wants(r *http.Request) form {
	answer := text
	for _, accept := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(accept, ",") {
			media, params, _ := strings.Cut(part, ";")
			if q := strings.ReplaceAll(params, " ", ""); strings.HasPrefix(q, "q=0") && strings.Trim(q[2:], "0.") == "" {
				continue
			}
			switch strings.ToLower(strings.TrimSpace(media)) {
			case "text/html":
				return html
			case "application/json":
				answer = jsonText
			}
		}
	}
	return answer
}

// render writes a page. Everything it may load comes from this service, and
// nothing may frame it.
func (s *Server) render(w http.ResponseWriter, status int, name string, data any) {
	s.renderView(w, status, name, page.View{Data: data}, "'self'")
}

// renderView is render for a page that is seen on another host (view.Base is
// then our origin) or whose form leads on to one: browsers hold the redirects
// that follow a post against form-action too.
func (s *Server) renderView(w http.ResponseWriter, status int, name string, view page.View, formAction string) {
	body, err := s.pages.Render(name, view)
	if err != nil {
		s.Log.Error("page", "name", name, "error", err)
		writeText(w, http.StatusInternalServerError, outcomeOf(errPanic).public)
		return
	}
	own := strings.TrimSpace("'self' " + view.Base)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+own+"; img-src "+own+
		"; form-action "+formAction+"; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	w.Write(body)
}
