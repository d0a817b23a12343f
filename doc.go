// Package authsvc is the door to this repository: it has no code, only the map.
//
// authsvc puts a sign-in in front of any web app. It signs the session into a
// JWT, keeps the JWT in an HttpOnly cookie with an exp claim, and answers "who
// is this?" for reverse proxies. Any replica that holds the same secret can
// answer: there is no session table, no sticky routing and no network call on
// the way of a check.
//
// # Map
//
//	cmd/authsvc   the environment, the listeners and the process
//	token         what a session is: claims, keys and when each signs, verifying
//	login         who are you? One file per way of finding out
//	httpx         everything HTTP; routes.go is the route table
//	httpx/page    the pages a person sees
//	metrics       names, help, labels of everything Prometheus sees
//	reload        files that change while the service runs
//	e2e           the service with real proxies, Prometheus and containers
//	e2e/proc      starts real programs for tests
//
// A behaviour is two hops away: cmd/authsvc/main.go, httpx/routes.go, the
// handler. Which package may know which is a table in token_test.go.
//
// # Trust
//
// Believed: the master secret and whoever holds it; the files named by the
// configuration; forwarded headers from AUTHSVC_TRUSTED_PROXIES; what a token
// says that one of our keys signed for this purpose and that has not expired.
//
// Not believed: everything else in a request, the other sub-domains of our
// domain, and pages of other sites that make a browser send something.
package authsvc
