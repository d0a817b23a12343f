package httpx

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"authsvc/token"
)

// dialect is how one family of proxies asks and is answered. The route chooses
// it, never the User-Agent or which headers happen to be there.
type dialect struct {
	name     string
	original func(http.Header) (original, error)
	// redirect: the proxy passes a redirect on, so a navigation gets one.
	// Without, "no session" is always 401 with a Location beside it.
	redirect bool
}

var (
	// plain is for nginx's auth_request, which takes 2xx, 401 and 403 and
	// makes 500 of all else, and for whoever wants a plain answer.
	plain = dialect{"plain", originalFromURL, false}
	// forward is for Traefik's ForwardAuth and Caddy's forward_auth, which
	// pass the whole of an answer that is not 2xx on to the browser.
	forward = dialect{"forward", originalFromForwarded, true}
)

// Dialects lists the names of the dialects, for metrics.
func Dialects() []string { return []string{plain.name, forward.name} }

// verify answers a check: 200 with who it is, or an error that deny writes.
func (s *Server) verify(d dialect) handler {
	return func(w *exchange, r *http.Request) error {
		if !trustedPeer(r.RemoteAddr, s.TrustedProxies) {
			return fmt.Errorf("%w: %s", ErrPeer, r.RemoteAddr)
		}
		rule, err := parseRule(r.URL.RawQuery)
		if err != nil {
			return err
		}
		if _, err := d.original(r.Header); err != nil {
			return err
		}
		c, fromCookie, err := s.session(r, w.began)
		if err != nil {
			return err
		}
		// Renewal comes first, because it asks for the groups of now: one that
		// was taken away must not let in once more, and one that was given
		// must not wait for a path without a rule to be asked for.
		if fromCookie {
			c = s.renew(w, c)
		}
		if !rule.allows(c.Groups) {
			return fmt.Errorf("%w: user %q", ErrGroup, c.Subject)
		}
		setIdentity(w.Header(), c.Identity())
		w.WriteHeader(http.StatusOK)
		return nil
	}
}

// setIdentity sets every identity header, the unknown ones empty: a proxy that
// copies them overwrites what the client sent under these names. The four lists
// are parts of one, which saves three allocations and 90 ns per check.
func setIdentity(h http.Header, id token.Identity) {
	v := [...]string{id.User, strings.Join(id.Groups, ","), id.Name, id.Email}
	h["Remote-User"], h["Remote-Groups"], h["Remote-Name"], h["Remote-Email"] = v[0:1:1], v[1:2:2], v[2:3:3], v[3:4:4]
}

// deny says no in a dialect. Whatever happened, a panic included, a check is
// answered with a status that its proxy passes on, and never with 200. (What
// net/http answers before any handler is not ours: 431 to a head of more than
// 64 KB and 417 to an unknown Expect. Both fail closed.)
func (s *Server) deny(d dialect) func(http.ResponseWriter, *http.Request, error) {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		o, as := checkOutcome(err), wants(r)
		if !d.redirect && as == html {
			as = text // nobody sees it: the proxy writes a page of its own
		}
		if o.status == http.StatusUnauthorized {
			from, _ := d.original(r.Header) // verify has read it without error
			if away := d.redirect && navigation(r, from.Method); away || !d.redirect {
				w.Header().Set("Location", s.signInURL(from.URL()))
				if away {
					w.WriteHeader(http.StatusFound)
					return
				}
			}
		}
		s.write(w, o, as, s.origin())
	}
}

// countCheck counts a check by its reason.
func (s *Server) countCheck(d dialect) func(error, time.Duration) {
	return func(err error, _ time.Duration) {
		reason := "ok"
		if err != nil {
			reason = checkOutcome(err).reason
		}
		s.Metrics.Check(d.name, reason)
	}
}

// checkOutcome is the outcome of an error on the way of a check, where no
// status but 401 and 403 exists.
func checkOutcome(err error) outcome {
	o := outcomeOf(err)
	if o.status != http.StatusUnauthorized {
		o.status = http.StatusForbidden
	}
	return o
}

// navigation reports whether a person is looking at what a request brings: a
// GET or HEAD that the browser calls a navigation or, where the browser is too
// old to say, one that accepts a page.
func navigation(r *http.Request, method string) bool {
	if method == "" {
		method = r.Method
	}
	if method != http.MethodGet && method != http.MethodHead {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return wants(r) == html
}

// rule is what a check asks beyond a session.
type rule struct{ groups []string } // any one of them; none asks for none

// parseRule reads ?group=a&group=b. Anything else in the query is a refusal:
// "?groups=admin" must not let everybody in.
func parseRule(query string) (rule, error) {
	if query == "" {
		return rule{}, nil
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return rule{}, fmt.Errorf("%w: a bad percent escape or a semicolon in its query", ErrRule)
	}
	if err := onlyKnown(q, "group"); err != nil {
		return rule{}, fmt.Errorf("%w: %w", ErrRule, err)
	}
	if slices.Contains(q["group"], "") {
		return rule{}, fmt.Errorf("%w: group is empty", ErrRule)
	}
	return rule{q["group"]}, nil
}

func (a rule) allows(groups []string) bool {
	if len(a.groups) == 0 {
		return true
	}
	return slices.ContainsFunc(a.groups, func(g string) bool { return slices.Contains(groups, g) })
}

// onlyKnown names a parameter that is not one of known.
func onlyKnown(q url.Values, known ...string) error {
	for name := range q {
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown parameter %.40q (known: %s)", name, strings.Join(known, ", "))
		}
	}
	return nil
}
