package page

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// hostile is what may come from a user, an identity or a proxy.
const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(1)>`

var views = map[string][]any{
	"home": {Home{}, Home{User: hostile}},
	"login": {
		Login{}, Login{AskPassword: true},
		Login{AskPassword: true, Permanent: true, User: hostile, Return: hostile, ReturnHost: hostile, Complaint: hostile},
		Login{Return: "javascript:alert(1)"},
	},
	"show": {
		Show{User: "letian", Since: time.Unix(0, 0).UTC(), Until: time.Unix(1e9, 0).UTC()},
		Show{User: hostile, Name: hostile, Email: hostile, Groups: []string{hostile, hostile}, Permanent: true},
	},
	"error": {Error{Title: hostile, Sentence: hostile}, Error{Title: "Forbidden", Sentence: "No.", SignIn: true}},
}

// TestPages walks every page as a browser parses it: nothing in it runs, has a
// style of its own (the Content-Security-Policy would drop it) or leads
// elsewhere, and what a person fills in has a label.
func TestPages(t *testing.T) {
	pages, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for name, all := range views {
		for _, data := range all {
			for _, base := range []string{"", "https://auth.example.com"} {
				text, err := pages.Render(name, View{Base: base, Data: data})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				doc, err := html.Parse(strings.NewReader(string(text)))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				count, labelled, fields := map[string]int{}, map[string]bool{}, map[string]bool{}
				for n := range doc.Descendants() {
					if n.Type != html.ElementNode {
						continue
					}
					count[n.Data]++
					switch n.Data {
					case "script", "style", "img", "iframe", "object", "embed", "base":
						t.Errorf("%s: <%s>", name, n.Data)
					}
					attr := map[string]string{}
					for _, a := range n.Attr {
						attr[a.Key] = a.Val
						switch {
						case strings.HasPrefix(a.Key, "on"), a.Key == "style":
							t.Errorf("%s: <%s %s>", name, n.Data, a.Key)
						case a.Key == "href", a.Key == "src", a.Key == "action":
							if path, ok := strings.CutPrefix(a.Val, base+"/"); !ok || strings.HasPrefix(path, "/") {
								t.Errorf("%s: <%s %s=%q>", name, n.Data, a.Key, a.Val)
							}
						}
					}
					switch {
					case n.Data == "label" && attr["for"] != "":
						labelled[attr["for"]] = true
					case n.Data == "input" && attr["type"] != "hidden" && n.Parent.Data != "label":
						fields[attr["id"]] = true
					case n.Data == "form" && attr["method"] != "post":
						t.Errorf("%s: a form by %q: a password would be in the URL", name, attr["method"])
					}
				}
				for id := range fields {
					if !labelled[id] {
						t.Errorf("%s: field %q has no label", name, id)
					}
				}
				if count["h1"] != 1 || count["title"] != 1 || count["main"] != 1 || !strings.HasPrefix(string(text), "<!doctype html>\n<html lang=\"en\">") {
					t.Errorf("%s: %v", name, count)
				}
			}
		}
	}
}

// The password is the one thing that a page never gives back.
func TestLoginFields(t *testing.T) {
	pages, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		view       Login
		has, hasnt []string
	}{
		{Login{}, []string{`name="user_name"`, `name="permanent"`}, []string{"password", `name="rd"`, "checked", "continue to", "complaint"}},
		{Login{AskPassword: true, User: "ann"}, []string{`name="password" type="password" autocomplete="current-password"`, `value="ann"`}, []string{"complaint"}},
		{Login{Permanent: true, Return: "/a?b", ReturnHost: "app.example.com", Complaint: "No."}, []string{" checked", `name="rd" value="/a?b"`, "app.example.com", `role="alert">No.<`}, nil},
	} {
		text, err := pages.Render("login", View{Data: row.view})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range row.has {
			if !strings.Contains(string(text), s) {
				t.Errorf("%+v: no %s", row.view, s)
			}
		}
		for _, s := range row.hasnt {
			if strings.Contains(string(text), s) {
				t.Errorf("%+v: has %s", row.view, s)
			}
		}
	}
}

func TestRenderIsWholeOrAnError(t *testing.T) {
	pages, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pages.Render("no such page", View{}); err == nil {
		t.Error("no such page, no error")
	}
	if _, err := pages.Render("show", View{Data: Home{User: "letian"}}); err == nil {
		t.Error("the data of another page, no error")
	}
}

func TestFile(t *testing.T) {
	pages := &Set{}
	for name, want := range map[string]string{
		"authsvc.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml",
		"": "", ".": "", "..": "", "../page.go": "", "../login.html": "", "/etc/passwd": "", "login.html": "", "static": "", "AUTHSVC.CSS": "",
	} {
		data, mediaType, ok := pages.File(name)
		if ok != (want != "") || ok && (mediaType != want || len(data) == 0) {
			t.Errorf("%q: %d bytes, %q, %v", name, len(data), mediaType, ok)
		}
	}
}

// The stylesheet loads nothing and is all that the pages' policy lets in.
func TestStylesheet(t *testing.T) {
	css, _, _ := (&Set{}).File("authsvc.css")
	for _, s := range []string{"url(", "@import", "expression"} {
		if strings.Contains(string(css), s) {
			t.Errorf("it has %s", s)
		}
	}
}
