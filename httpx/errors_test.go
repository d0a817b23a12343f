package httpx

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"authsvc/metrics"
	authtoken "authsvc/token"
)

// variables yields the names and values of the package variables in the files
// of dir, without its tests.
func variables(t *testing.T, dir string) map[string]ast.Expr {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]ast.Expr{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				for _, spec := range g.Specs {
					if v := spec.(*ast.ValueSpec); len(v.Names) == 1 && len(v.Values) == 1 {
						vars[v.Names[0].Name] = v.Values[0]
					}
				}
			}
		}
	}
	return vars
}

// sentinels lists the exported Err variables of the package in dir.
func sentinels(t *testing.T, dir, prefix string) (names []string) {
	for name := range variables(t, dir) {
		if strings.HasPrefix(name, "Err") {
			names = append(names, prefix+name)
		}
	}
	return names
}

// rows lists the names of the errors that have a row in outcomes.
func rows(t *testing.T) (names []string) {
	for _, row := range variables(t, ".")["outcomes"].(*ast.CompositeLit).Elts {
		switch x := row.(*ast.CompositeLit).Elts[0].(type) {
		case *ast.Ident:
			names = append(names, x.Name)
		case *ast.SelectorExpr:
			names = append(names, x.X.(*ast.Ident).Name+"."+x.Sel.Name)
		}
	}
	return names
}

// A sentinel without a row would be answered as a failure of ours.
func TestEverySentinelHasARow(t *testing.T) {
	all := append(sentinels(t, ".", ""), sentinels(t, "../token", "token.")...)
	have := rows(t)
	if len(all) < 25 || len(have) != len(outcomes) {
		t.Fatalf("%d sentinels, %d rows of %d", len(all), len(have), len(outcomes))
	}
	for _, name := range all {
		if !slices.Contains(have, name) {
			t.Errorf("%s has no row in outcomes", name)
		}
	}
	for i, name := range have {
		if slices.Contains(have[:i], name) {
			t.Errorf("%s has two rows in outcomes", name)
		}
	}
}

// Each row is the end of a check, of a sign-in, or of something else that has
// no metric of its own; the reasons of the first two are the metrics' labels.
func TestReasonsAreLabels(t *testing.T) {
	checks := []error{
		ErrNoSession, authtoken.ErrExpired, authtoken.ErrNotYetValid, authtoken.ErrTooLarge, authtoken.ErrMalformed, authtoken.ErrUnknownKey,
		authtoken.ErrAlgorithm, authtoken.ErrSignature, authtoken.ErrPurpose, authtoken.ErrClaims, authtoken.ErrRevoked,
		ErrGroup, ErrPeer, ErrForwarded, ErrRule, errPanic,
	}
	signIns := []error{
		authtoken.ErrCredentials, authtoken.ErrPasswordTooLong, authtoken.ErrIdentity, authtoken.ErrBusy, authtoken.ErrNoKey, context.Canceled, context.DeadlineExceeded,
		ErrSessionSize, ErrCrossSite, ErrRequest, ErrBodySize, ErrMediaType, errPanic,
	}
	elsewhere := []error{ErrNotFound, ErrMethod, ErrNotReady}

	reasons := map[string]bool{"ok": true}
	for _, err := range checks {
		o := checkOutcome(err)
		reasons[o.reason] = true
		want := map[int]string{http.StatusUnauthorized: "sign_in", http.StatusForbidden: "refused"}[o.status]
		if metrics.CheckResults[o.reason] != want {
			t.Errorf("%v: answered with %d, counted as %q", err, o.status, metrics.CheckResults[o.reason])
		}
	}
	for reason := range metrics.CheckResults {
		if !reasons[reason] {
			t.Errorf("no check ends with %s", reason)
		}
	}
	results := map[string]bool{"ok": true}
	for _, err := range signIns {
		results[outcomeOf(err).reason] = true
		if !slices.Contains(metrics.SignInResults, outcomeOf(err).reason) {
			t.Errorf("%v: %s is not in SignInResults", err, outcomeOf(err).reason)
		}
	}
	for _, r := range metrics.SignInResults {
		if !results[r] {
			t.Errorf("no sign-in ends with %s", r)
		}
	}
	for _, row := range outcomes {
		if !slices.Contains(slices.Concat(checks, signIns, elsewhere), row.err) {
			t.Errorf("%v: where does it end?", row.err)
		}
		if row.status < 400 || row.reason == "" {
			t.Errorf("%v: %+v", row.err, row.outcome)
		}
	}
}

// A check knows two ways to say no, whatever happened.
func TestCheckOutcome(t *testing.T) {
	for _, row := range outcomes {
		if status := checkOutcome(row.err).status; status != 401 && status != 403 {
			t.Errorf("%v: %d", row.err, status)
		}
	}
	if o := checkOutcome(errors.New("from elsewhere")); o.status != 403 || o.reason != "internal" || strings.Contains(o.public, "elsewhere") {
		t.Errorf("an error without a row: %+v", o)
	}
}

func TestWants(t *testing.T) {
	for accept, want := range map[string]form{
		"":                      text,
		"*/*":                   text,
		"text/plain":            text,
		"application/json":      jsonText,
		"application/json, */*": jsonText,
		"text/html":             html,
		"TEXT/HTML":             html,
		"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8": html,
		"application/json, text/html;q=0.1":                                          html,
		"text/html;q=0, application/json":                                            jsonText,
		"text/html;q=0.05":                                                           html,
		"text/html; q=0.000":                                                         text,
		"application/json;q=0":                                                       text,
		"text/htmlx, xtext/html":                                                     text,
		"application/xhtml+xml":                                                      text,
	} {
		if got := wants(&http.Request{Header: http.Header{"Accept": {accept}}}); got != want {
			t.Errorf("%q: %d, want %d", accept, got, want)
		}
	}
	if got := wants(&http.Request{Header: http.Header{"Accept": {"application/json", "text/html"}}}); got != html {
		t.Error("the second Accept header is not read")
	}
}
