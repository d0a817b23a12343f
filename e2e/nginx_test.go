package e2e

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"authsvc/e2e/proc"
)

// nginx starts the real nginx with deploy/nginx/nginx.conf at front.
func nginx(t *testing.T, authsvc, front, protected string, changes ...string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), "deploy", "nginx", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	startNginx(t, string(data), authsvc, front, protected, changes...)
}

func startNginx(t *testing.T, conf, authsvc, front, protected string, changes ...string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // nginx's workers are another user
		t.Fatal(err)
	}
	path := filepath.Join(dir, "nginx.conf")
	conf = replaced(t, conf, append([]string{
		"127.0.0.1:8080", strings.TrimPrefix(authsvc, "http://"),
		"127.0.0.1:8090", front,
		"127.0.0.1:3000", protected,
		// Only so that nothing is written outside of the test's folder.
		"http {\n", "http {\n    access_log off;\n    client_body_temp_path " + dir + "/a;\n    proxy_temp_path " + dir + "/b;\n" +
			"    fastcgi_temp_path " + dir + "/c;\n    uwsgi_temp_path " + dir + "/d;\n    scgi_temp_path " + dir + "/e;\n",
	}, changes...)...)
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	proc.Start(t, nil, proc.Program(t, "nginx"), "-c", path, "-p", dir,
		"-g", "daemon off; error_log stderr; pid "+filepath.Join(dir, "nginx.pid")+";")
	proc.Eventually(t, func() error { return dial(front) })
}

func TestNginx(t *testing.T) {
	front := proc.FreeAddr(t)
	site := "http://" + front
	s := proc.Authsvc(t, append(users(t), "AUTHSVC_RETURN_HOSTS="+front, "AUTHSVC_SESSION_TTL=10s")...)
	nginx(t, s.URL, front, app(t))
	b := newBrowser(t)

	// Anonymous: to the sign-in page, which brings back.
	a := b.curl(site + "/private?a=1&b=%2F")
	signIn := a.header.Get("Location")
	if want := s.URL + "/login?rd=" + url.QueryEscape(site+"/private?a=1&b=%2F"); a.status != "302" || signIn != want {
		t.Fatalf("anonymous: %s to %q, want 302 to %q", a.status, signIn, want)
	}
	a = b.curl("-H", "Accept: text/html", signIn)
	if !strings.Contains(a.body, "to continue to <strong>"+front) {
		t.Errorf("the sign-in page does not say where one goes: %s", a.body)
	}
	a = b.curl("-d", "user_name=ann&password=wrong", "--data-urlencode", "rd="+site+"/private?a=1&b=%2F", s.URL+"/login")
	if a.status != "401" || !strings.Contains(a.body, "The name or the password is wrong.") {
		t.Errorf("wrong password: %s %q", a.status, a.body)
	}
	a = b.curl("-d", "user_name=ann&password=correct+horse", "--data-urlencode", "rd="+site+"/private?a=1&b=%2F", s.URL+"/login")
	if a.status != "303" || a.header.Get("Location") != site+"/private?a=1&b=%2F" {
		t.Fatalf("sign-in: %s to %q", a.status, a.header.Get("Location"))
	}

	// Signed in: the app knows who it is, and nothing else about it.
	got := b.curl("-b", "other=kept", "-H", "Remote-User: root", "-H", "Remote_User: root", "-H", "REMOTE-GROUPS: wheel", "-H", "Remote-Email: root@example.com",
		a.header.Get("Location")).app(t)
	for name, want := range map[string]string{"Remote-User": "ann", "Remote-Groups": "admins,staff", "Remote-Email": "", "Remote-Name": "", "Remote_user": ""} {
		if v := strings.Join(got.Header[name], "|"); v != want {
			t.Errorf("the app got %s: %q, want %q", name, v, want)
		}
	}
	if got.Path != "/private?a=1&b=%2F" {
		t.Errorf("the app was asked for %q", got.Path)
	}

	// The session cookie stays between browser, proxy and authsvc.
	token := b.token()
	for _, cookies := range []string{"session=" + token, "a=1; session=" + token, "session=" + token + "; b=2", "a=1; session=" + token + "; b=2",
		"session=" + token + "; session=x", "session=x; session=" + token, "a=1; session=" + token + "; b=2; __Host-session=x", "session=x; session=" + token + "; session=y"} {
		got := newBrowser(t).curl("-H", "Cookie: "+cookies, site+"/").app(t)
		want := strings.ReplaceAll(strings.TrimSuffix(strings.ReplaceAll(cookies+"; ", "session="+token+"; ", ""), "; "), "; ;", ";")
		if strings.Count(cookies, "session=") > 1 {
			want = ""
		}
		if c := got.Header.Get("Cookie"); c != want {
			t.Errorf("of %q the app got %q, want %q", strings.ReplaceAll(cookies, token, "TOKEN"), strings.ReplaceAll(c, token, "TOKEN"), want)
		}
	}

	// A POST is checked like all else, and its body arrives.
	if a := b.curl("-d", "x=1", site+"/form"); a.status != "200" {
		t.Errorf("POST: %s", a.status)
	}
	// A client that forges what proxies of another family send gets nothing.
	if a := b.curl("-H", "X-Original-URL: http://evil.example/", "-H", "X-Forwarded-Uri: /public", site+"/"); a.status != "200" {
		t.Errorf("forged forwarded headers: %s, want them replaced", a.status)
	}

	// Renewal reaches the browser: past half of ten seconds, before the end.
	old := b.token()
	deadline := time.Now().Add(9 * time.Second)
	for b.token() == old {
		if time.Now().After(deadline) {
			t.Fatal("the session was not renewed through nginx")
		}
		time.Sleep(500 * time.Millisecond)
		if a := b.curl(site + "/"); a.status != "200" {
			t.Fatalf("while waiting for renewal: %s", a.status)
		}
	}

	// Signed out: the browser has nothing left to show.
	if a := b.curl(s.URL + "/logout"); a.status != "303" {
		t.Errorf("sign-out: %s", a.status)
	}
	if a := b.curl(site + "/"); a.status != "302" {
		t.Errorf("after sign-out: %s", a.status)
	}
}

func TestNginxGroups(t *testing.T) {
	front := proc.FreeAddr(t)
	s := proc.Authsvc(t, users(t)...)
	nginx(t, s.URL, front, app(t), "/verify;", "/verify?group=admins&group=nobody;")
	for user, want := range map[string]string{"ann": "200", "bob": "403"} {
		b := newBrowser(t)
		if a := b.curl("-d", "user_name="+user+"&password=correct+horse", s.URL+"/login"); a.status != "200" {
			t.Fatalf("%s signs in: %s", user, a.status)
		}
		if a := b.curl("http://" + front + "/"); a.status != want {
			t.Errorf("%s: %s, want %s", user, a.status, want)
		}
	}
}

// A service that is down is a closed door.
func TestNginxWithoutAuthsvc(t *testing.T) {
	front := proc.FreeAddr(t)
	nginx(t, "http://"+proc.FreeAddr(t), front, app(t))
	if a := newBrowser(t).curl("http://" + front + "/"); a.status != "500" {
		t.Errorf("%s: %q", a.status, a.body)
	}
}

// What the README shows of nginx, as it stands there, protects a site.
func TestReadmeNginx(t *testing.T) {
	front := proc.FreeAddr(t)
	s := proc.Authsvc(t, append(users(t), "AUTHSVC_RETURN_HOSTS="+front)...)
	conf := "events {}\nhttp {\nserver {\nlisten 127.0.0.1:8090;\n" + block(t, "README.md", "nginx") + "}\n}\n"
	startNginx(t, conf, s.URL, front, app(t))
	b := newBrowser(t)
	rd := "http://" + front + "/x?y=z"
	a := b.curl(rd)
	if want := s.URL + "/login?rd=" + url.QueryEscape(rd); a.status != "302" || a.header.Get("Location") != want {
		t.Errorf("anonymous: %s to %q, want %q", a.status, a.header.Get("Location"), want)
	}
	a = b.curl("-d", "user_name=ann&password=correct+horse", "--data-urlencode", "rd="+rd, s.URL+"/login")
	got := b.curl("-H", "Remote-User: root", "-H", "Remote-Groups: wheel", "-H", "Remote-Name: root", "-H", "Remote-Email: root@example.com", a.header.Get("Location")).app(t)
	if h := got.Header; h.Get("Remote-User") != "ann" || h.Get("Remote-Groups")+h.Get("Remote-Name")+h.Get("Remote-Email") != "" || got.Path != "/x?y=z" {
		t.Errorf("the app got %v for %q", h, got.Path)
	}
}

// docs/nginx.md shows the file that these tests load.
func TestNginxDoc(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root(t), "deploy", "nginx", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(data), block(t, "docs/nginx.md", "nginx")); d != "" {
		t.Errorf("-deploy/nginx/nginx.conf +docs/nginx.md\n%s", d)
	}
}
