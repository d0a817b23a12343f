package httpx

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// handler answers a request, or returns an error for the one place that writes
// errors. One that has begun to answer returns nil.
type handler func(*exchange, *http.Request) error

// route is one line of the table.
type route struct {
	name   string // in metrics and logs
	method string // empty: any; GET takes HEAD along
	path   string // a pattern of http.ServeMux
	handle handler
	guard  guard                                           // optional: which pages of the web may cause the request
	fail   func(http.ResponseWriter, *http.Request, error) // optional: how an error is written
	count  func(err error, took time.Duration)             // optional: what is counted beside the request
	quiet  bool                                            // optional: a success is logged at debug level
}

// public is THE route table: the listener that browsers and proxies reach.
func (s *Server) public() []route {
	table := []route{
		{name: "home", method: "GET", path: "/{$}", handle: s.home},
		{name: "login_form", method: "GET", path: "/login", handle: s.loginForm},
		{name: "login", method: "POST", path: "/login", handle: s.login, guard: s.ownPages, fail: s.loginFailed, count: s.countSignIn},
		{name: "login", method: "POST", path: "/do_login", handle: s.login, guard: s.ownPages, fail: s.loginFailed, count: s.countSignIn},
		{name: "show", method: "GET", path: "/show", handle: s.show, fail: s.showFailed},
		{name: "logout", method: "GET", path: "/logout", handle: s.logout, guard: s.notEmbedded},
		{name: "logout", method: "POST", path: "/logout", handle: s.logout, guard: s.ownPages},
		{name: "jwks", method: "GET", path: "/.well-known/jwks.json", handle: s.jwks},
		{name: "static", method: "GET", path: "/static/{file}", handle: s.static, quiet: true},

		{name: "verify", path: "/verify", handle: s.verify(plain), fail: s.deny(plain), count: s.countCheck(plain), quiet: true},
		{name: "verify_forward", path: "/verify/forward", handle: s.verify(forward), fail: s.deny(forward), count: s.countCheck(forward), quiet: true},
	}
	if s.CookieRoutes {
		table = append(table,
			route{name: "cookie_add", method: "GET", path: "/add", handle: s.addCookie, guard: s.firstParty},
			route{name: "cookies", method: "GET", path: "/cookies", handle: s.showCookies, guard: s.firstParty},
			route{name: "cookie_del", method: "GET", path: "/del", handle: s.deleteCookie, guard: s.firstParty},
		)
	}
	return table
}

// admin is the table of the listener that only operators and Prometheus reach.
func (s *Server) admin() []route {
	return []route{
		{name: "metrics", method: "GET", path: "/metrics", handle: s.metrics, quiet: true},
		{name: "healthz", method: "GET", path: "/healthz", handle: s.healthz, quiet: true},
		{name: "readyz", method: "GET", path: "/readyz", handle: s.readyz, quiet: true},
	}
}

// other is the name of the route of paths that have none.
const other = "other"

// RouteNames lists the names of all routes there can be, for metrics.
func RouteNames() []string {
	s := &Server{Config: Config{CookieRoutes: true}}
	names := []string{other}
	for _, r := range append(s.public(), s.admin()...) {
		names = append(names, r.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Public answers the listener that browsers and proxies reach.
func (s *Server) Public() http.Handler { return s.mux(s.public()) }

// Admin answers the listener that only operators and Prometheus reach.
func (s *Server) Admin() http.Handler { return s.mux(s.admin()) }

func (s *Server) mux(table []route) http.Handler {
	mux := http.NewServeMux()
	// Paths that take every method need no matching: a check is found by one
	// look into a map, which is 130 ns less than the mux takes.
	direct := map[string]http.Handler{}
	methods := map[string][]string{}
	for _, r := range table {
		if r.method == "" {
			direct[r.path] = s.serve(r)
			continue
		}
		mux.Handle(r.method+" "+r.path, s.serve(r))
		methods[r.path] = append(methods[r.path], r.method)
		if r.method == "GET" {
			methods[r.path] = append(methods[r.path], "HEAD")
		}
	}
	// A pattern without a method catches what the others of its path leave,
	// so that these answers too come from the one place that writes errors.
	for path, allowed := range methods {
		mux.Handle(path, s.serve(route{name: other, path: path, handle: notAllowed(allowed)}))
	}
	mux.Handle("/", s.serve(route{name: other, path: "/", handle: notFound}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, ok := direct[r.URL.Path]; ok && r.URL.RawPath == "" { // /verify%2Fforward is another path
			h.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func notFound(*exchange, *http.Request) error { return ErrNotFound }

func notAllowed(methods []string) handler {
	slices.Sort(methods)
	allow := strings.Join(methods, ", ")
	return func(w *exchange, _ *http.Request) error {
		w.Header().Set("Allow", allow)
		return ErrMethod
	}
}
