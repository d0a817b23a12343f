// Package httpx owns everything that is HTTP: the routes, the cookies, what is
// believed of a proxy's headers, where a browser may be sent, the pages, and
// how an error becomes an answer.
//
// It does not know how anybody proves who they are, nor how a session is
// signed: it asks [Accounts] and a [token.Authority]. It opens no listener and
// reads no environment.
package httpx

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"

	"authsvc/httpx/page"
	"authsvc/metrics"
	"authsvc/token"
)

// Accounts knows who may sign in.
type Accounts interface {
	// Check returns who it is, or token.ErrCredentials, token.ErrBusy,
	// token.ErrPasswordTooLong, or an error of ctx.
	Check(ctx context.Context, user, password string) (token.Identity, error)
	// Lookup returns what is known of a user now, or token.ErrCredentials.
	// It is asked when a session is renewed, so that a user or a group that
	// was taken away does not outlive the idle limit.
	Lookup(user string) (token.Identity, error)
}

// Config is what a Server is made of. All of it is needed but where it says
// Optional.
type Config struct {
	BaseURL        *url.URL       // where browsers reach the public routes: scheme, host, perhaps a port
	Returns        *Returns       // where a browser may be sent after sign-in
	TrustedProxies []netip.Prefix // whose checks are answered and whose headers are believed
	Cookie         Cookie
	CookieRoutes   bool // Optional. Whether there are /add, /cookies and /del.
	Sessions       *token.Authority
	Method         string // of sign-in: a label and the via of new sessions
	Accounts       Accounts
	AskPassword    bool // Optional. Whether the method needs a password.
	Metrics        *metrics.Metrics
	Log            *slog.Logger
}

// Server answers the routes of both listeners.
type Server struct {
	Config
	origins *http.CrossOriginProtection
	pages   *page.Set
	ready   atomic.Bool
	// referrer is no-referrer, which makes browsers send "Origin: null" with
	// a form post. Where they send Fetch Metadata too, that does no harm; over
	// plain http to another host they do not, and signing in would be refused.
	referrer []string
}

// New makes a Server that is not ready yet.
func New(cfg Config) (*Server, error) {
	// Browsers leave the default port out of Host and Origin.
	own, err := parseOrigin(cfg.BaseURL.Scheme, cfg.BaseURL.Host)
	if err != nil {
		return nil, fmt.Errorf("base URL: %w", err)
	}
	if cfg.BaseURL, err = url.Parse(own.String()); err != nil {
		return nil, fmt.Errorf("base URL: %w", err)
	}
	s := &Server{Config: cfg, origins: http.NewCrossOriginProtection()}
	// A proxy may pass another Host than the browser asked for. The base URL
	// is the one origin that is ours whatever Host says.
	if err := s.origins.AddTrustedOrigin(s.origin()); err != nil {
		return nil, fmt.Errorf("base URL: %w", err)
	}
	s.referrer = noReferrer
	if !s.trustworthy(s.BaseURL) {
		s.referrer = ownReferrers
	}
	s.pages, err = page.New()
	return s, err
}

// SetReady says whether /readyz answers 200.
func (s *Server) SetReady(ready bool) { s.ready.Store(ready) }
