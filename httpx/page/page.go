// Package page owns what a person sees: the templates and the stylesheet.
// There is no script in them and nothing that comes from elsewhere.
package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"mime"
	"path"
	"time"
)

//go:embed *.html static
var files embed.FS

// View is what every page is rendered with.
type View struct {
	Base string // the service's own origin if the page is seen on another host, else empty
	Data any    // one of the types below, by the page's name
}

// Home is who you are, or the way to sign in.
type Home struct {
	User string // empty: not signed in
}

// Login is the form.
type Login struct {
	User        string
	Permanent   bool
	AskPassword bool
	Return      string // where to go after, already decided to be safe; may be empty
	ReturnHost  string // of Return if it is another host
	Complaint   string // why the last attempt failed; may be empty
}

// Show is the session.
type Show struct {
	User, Name, Email string
	Groups            []string
	Since, Until      time.Time
	Permanent         bool
}

// Error is a refusal.
type Error struct {
	Title, Sentence string
	SignIn          bool // offer to sign in
}

// Set is all pages, parsed.
type Set struct{ templates map[string]*template.Template }

// New parses the pages.
func New() (*Set, error) {
	s := &Set{map[string]*template.Template{}}
	for _, name := range []string{"home", "login", "show", "error"} {
		t, err := template.New("layout.html").Funcs(template.FuncMap{
			"when": func(t time.Time) string { return t.Format("2 January 2006, 15:04 MST") },
		}).ParseFS(files, "layout.html", name+".html")
		if err != nil {
			return nil, fmt.Errorf("page %q: %w", name, err)
		}
		s.templates[name] = t
	}
	return s, nil
}

// Render returns the page called name. It is whole or an error: nothing is
// half written to a browser.
func (s *Set) Render(name string, v View) ([]byte, error) {
	t, ok := s.templates[name]
	if !ok {
		return nil, fmt.Errorf("no page %q", name)
	}
	var b bytes.Buffer
	err := t.Execute(&b, v)
	return b.Bytes(), err
}

// File returns what the pages load, by name, with its media type.
func (s *Set) File(name string) ([]byte, string, bool) {
	data, err := files.ReadFile(path.Join("static", path.Base(name)))
	return data, mime.TypeByExtension(path.Ext(name)), err == nil
}
