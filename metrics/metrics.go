// Package metrics owns the name, help, buckets and labels of everything
// Prometheus sees of this service, in a registry of its own for each instance.
//
// Every label is a closed set and all of its values exist from the start: a
// rate over a counter that appears with its first event misses that event. The
// one exception is kid, whose series are the live keys and go with them.
package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// CheckResults says for each reason of a check what its result is. The reasons
// of sessions that are not accepted all lead to signing in.
var CheckResults = map[string]string{
	"ok":            "allowed",
	"no_session":    "sign_in",
	"expired":       "sign_in",
	"not_yet_valid": "sign_in",
	"revoked":       "sign_in",
	"too_large":     "sign_in",
	"malformed":     "sign_in",
	"unknown_key":   "sign_in",
	"algorithm":     "sign_in",
	"bad_signature": "sign_in",
	"wrong_purpose": "sign_in",
	"missing_claim": "sign_in",
	"group":         "refused",
	"peer":          "refused",
	"forwarded":     "refused",
	"rule":          "refused",
	"internal":      "refused",
}

// SignInResults are the ways a sign-in ends.
var SignInResults = []string{
	"ok", "wrong_credentials", "password_too_long", "bad_identity", "busy", "canceled", "session_too_large",
	"cross_site", "bad_request", "body_too_large", "media_type", "internal",
}

// Key describes a live signing key.
type Key struct {
	KID       string
	State     string    // one of KeyStates
	SignsFrom time.Time // from then it signs
	Retires   time.Time // from then it verifies nothing
	Verified  uint64    // tokens this process accepted under it
}

// KeyStates are the states of a key, in their order.
var KeyStates = []string{"published", "signing", "verifying"}

// Config is what the metrics are about.
type Config struct {
	Version  string
	Routes   []string     // names of the routes of both listeners
	Dialects []string     // of checks
	Methods  []string     // of sign-in
	Files    []string     // that are reloaded
	Keys     func() []Key // asked at each scrape
	// Hashing is asked at each scrape: passwords being hashed, waiting to
	// be, and refused since the start. Optional.
	Hashing func() (running, waiting int, refused uint64)
}

// Metrics counts. Its methods are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	handler  http.Handler

	checks        map[check]prometheus.Counter
	signIns       *prometheus.CounterVec
	signInSeconds *prometheus.HistogramVec
	issued        *prometheus.CounterVec
	renewed       prometheus.Counter
	ended         *prometheus.CounterVec
	duplicates    prometheus.Counter
	routes        map[string]*route
	reloads       *prometheus.CounterVec
	fileCurrent   *prometheus.GaugeVec
}

// check and route are resolved once: WithLabelValues hashes its labels at each
// call, which was 60 ns of a check three times over.
type check struct{ dialect, reason string }

type route struct {
	codes   [5]prometheus.Counter
	seconds prometheus.Observer
}

var (
	codes = []string{"1xx", "2xx", "3xx", "4xx", "5xx"}
	// From a check, tens of microseconds, to a sign-in that waits for its hash.
	buckets = []float64{.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

// New makes a registry with all series in it.
func New(cfg Config) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), checks: map[check]prometheus.Counter{}, routes: map[string]*route{}}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "authsvc", Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	histograms := func(name, help string, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "authsvc", Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(v)
		return v
	}
	checks := counters("checks_total", "Checks answered, by endpoint dialect, result and reason.", "dialect", "result", "reason")
	for _, d := range cfg.Dialects {
		for reason, result := range CheckResults {
			m.checks[check{d, reason}] = checks.WithLabelValues(d, result, reason)
		}
	}
	m.signIns = counters("sign_ins_total", "Attempts to sign in, by method and result.", "method", "result")
	m.signInSeconds = histograms("sign_in_duration_seconds", "Time to answer an attempt to sign in, hashing and waiting for it included.", "method")
	m.issued = counters("sessions_issued_total", "Sessions begun, by sign-in method.", "method")
	for _, method := range cfg.Methods {
		m.signInSeconds.WithLabelValues(method)
		m.issued.WithLabelValues(method)
		for _, result := range SignInResults {
			m.signIns.WithLabelValues(method, result)
		}
	}
	m.renewed = counters("sessions_renewed_total", "Sessions whose idle limit was moved by a new cookie.").WithLabelValues()
	m.ended = counters("sessions_ended_total", "Sessions ended by their user, by cause. Those that expire are not seen.", "cause")
	m.ended.WithLabelValues("sign_out")
	m.duplicates = counters("duplicate_cookies_total", "Requests with more than one cookie of the session's name.").WithLabelValues()
	requests := counters("http_requests_total", "Requests answered, by route and class of status.", "route", "code")
	seconds := histograms("http_request_duration_seconds", "Time to answer a request, by route: verify and verify_forward are the checks.", "route")
	for _, name := range cfg.Routes {
		r := &route{seconds: seconds.WithLabelValues(name)}
		for i, c := range codes {
			r.codes[i] = requests.WithLabelValues(name, c)
		}
		m.routes[name] = r
	}
	m.reloads = counters("file_reloads_total", "Changed files applied or refused.", "file", "result")
	m.fileCurrent = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "authsvc", Name: "file_current",
		Help: "1 if the file's present content is in force, 0 if it was refused and the one before stays."}, []string{"file"})
	m.registry.MustRegister(m.fileCurrent)
	for _, f := range cfg.Files {
		m.reloads.WithLabelValues(f, "applied")
		m.reloads.WithLabelValues(f, "refused")
		m.fileCurrent.WithLabelValues(f).Set(1)
	}
	if cfg.Hashing != nil {
		m.registry.MustRegister(hashing(cfg.Hashing))
	}
	if cfg.Keys != nil {
		m.registry.MustRegister(keys(cfg.Keys))
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "authsvc", Name: "build_info", Help: "1, with the version that runs.",
		ConstLabels: prometheus.Labels{"version": cfg.Version, "goversion": runtime.Version()}})
	build.Set(1)
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	m.registry.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the registry in the Prometheus text formats.
func (m *Metrics) Handler() http.Handler { return m.handler }

// Check counts one check of one of the configured dialects; reason is one of
// CheckResults.
func (m *Metrics) Check(dialect, reason string) {
	c, ok := m.checks[check{dialect, reason}]
	if !ok { // a check is answered, whatever a caller forgot to tell us
		c = m.checks[check{dialect, "internal"}]
	}
	c.Inc()
}

// SignIn counts one attempt to sign in; result is one of SignInResults.
func (m *Metrics) SignIn(method, result string, took time.Duration) {
	m.signIns.WithLabelValues(method, result).Inc()
	m.signInSeconds.WithLabelValues(method).Observe(took.Seconds())
}

// Issued counts a session that began.
func (m *Metrics) Issued(method string) { m.issued.WithLabelValues(method).Inc() }

// Renewed counts a session whose idle limit was moved.
func (m *Metrics) Renewed() { m.renewed.Inc() }

// SignedOut counts a session that its user ended.
func (m *Metrics) SignedOut() { m.ended.WithLabelValues("sign_out").Inc() }

// DuplicateCookies counts a request with several cookies of the session's name.
func (m *Metrics) DuplicateCookies() { m.duplicates.Inc() }

// Request counts one answered request of one of the configured routes.
func (m *Metrics) Request(name string, status int, took time.Duration) {
	r := m.routes[name]
	r.codes[min(max(status/100, 1), 5)-1].Inc()
	r.seconds.Observe(took.Seconds())
}

// Reload counts a changed file that was applied, or refused with err.
func (m *Metrics) Reload(file string, err error) {
	if err != nil {
		m.reloads.WithLabelValues(file, "refused").Inc()
		m.fileCurrent.WithLabelValues(file).Set(0)
		return
	}
	m.reloads.WithLabelValues(file, "applied").Inc()
	m.fileCurrent.WithLabelValues(file).Set(1)
}
