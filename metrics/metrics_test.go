package metrics

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func newMetrics() *Metrics {
	return New(Config{
		Version: "test", Routes: []string{"verify"}, Dialects: []string{"nginx"}, Methods: []string{"name"}, Files: []string{"htpasswd"},
		Keys: func() []Key {
			return []Key{{KID: "k", State: "signing", SignsFrom: time.Unix(1, 0), Retires: time.Unix(2, 0), Verified: 3}}
		},
		Hashing: func() (int, int, uint64) { return 1, 2, 3 },
	})
}

func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(newMetrics().registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// Using every method with every value adds no series: all exist from the start.
func TestSeriesExistFromTheStart(t *testing.T) {
	m := newMetrics()
	before, err := testutil.GatherAndCount(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for reason := range CheckResults {
		m.Check("nginx", reason)
	}
	for _, r := range SignInResults {
		m.SignIn("name", r, time.Millisecond)
	}
	m.Issued("name")
	m.Renewed()
	m.SignedOut()
	m.DuplicateCookies()
	for status := 0; status < 700; status += 50 {
		m.Request("verify", status, time.Millisecond)
	}
	m.Reload("htpasswd", nil)
	m.Reload("htpasswd", errors.New("line 1"))
	after, err := testutil.GatherAndCount(m.registry)
	if err != nil || before != after {
		t.Errorf("%d series at the start, %d after use (%v)", before, after, err)
	}
}

func TestReload(t *testing.T) {
	m := newMetrics()
	m.Reload("htpasswd", errors.New("line 1"))
	want := `
# HELP authsvc_file_current 1 if the file's present content is in force, 0 if it was refused and the one before stays.
# TYPE authsvc_file_current gauge
authsvc_file_current{file="htpasswd"} 0
`
	if err := testutil.GatherAndCompare(m.registry, strings.NewReader(want), "authsvc_file_current"); err != nil {
		t.Error(err)
	}
}
