package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"authsvc/e2e/proc"
)

// A real Prometheus finds the target up and its query returns our counter.
func TestPrometheus(t *testing.T) {
	s := proc.Authsvc(t, "AUTHSVC_LOGIN=name")
	for range 3 {
		newBrowser(t).curl(s.URL + "/verify")
	}
	conf := deployed(t, "prometheus/prometheus.yml", "127.0.0.1:8081", strings.TrimPrefix(s.Admin, "http://"), "15s", "200ms")
	addr := proc.FreeAddr(t)
	proc.Start(t, nil, proc.Program(t, "prometheus"), "--config.file="+conf, "--storage.tsdb.path="+t.TempDir(), "--web.listen-address="+addr, "--log.level=warn").
		Answers("http://" + addr + "/-/ready")
	for query, want := range map[string]string{
		`up{job="authsvc"}`: "1",
		`authsvc_checks_total{dialect="plain",result="sign_in",reason="no_session"}`: "3",
		`sum(authsvc_checks_total)`:     "3",
		`authsvc_keys{state="signing"}`: "1",
		`time() - max(authsvc_key_signs_from_timestamp_seconds < time()) < bool 86400`: "1",
		`authsvc_sign_ins_total{method="name",result="ok"}`:                            "0",
		`count(authsvc_build_info)`:                                                    "1",
	} {
		proc.Eventually(t, func() error {
			answer, err := http.Get("http://" + addr + "/api/v1/query?query=" + url.QueryEscape(query))
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			var got struct {
				Data struct{ Result []struct{ Value [2]any } }
			}
			if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
				return err
			}
			if r := got.Data.Result; len(r) != 1 || fmt.Sprint(r[0].Value[1]) != want {
				return fmt.Errorf("%s is %v, want %s", query, r, want)
			}
			return nil
		})
	}
}

// promtool has nothing to say about the real scrape, its own process and Go
// runtime metrics included.
func TestPromtoolLint(t *testing.T) {
	s := proc.Authsvc(t, users(t)...)
	answer, err := http.Get(s.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	lint := exec.Command(proc.Program(t, "promtool"), "check", "metrics")
	lint.Stdin = strings.NewReader(string(text))
	if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	for _, want := range []string{
		`authsvc_sign_ins_total{method="htpasswd",result="ok"} 0`,
		`authsvc_hashes_running 0`, `authsvc_hashes_waiting 0`, `authsvc_hashes_refused_total 0`,
		`authsvc_file_current{file="htpasswd"} 1`, `authsvc_file_reloads_total{file="htgroup",result="refused"} 0`,
		`authsvc_sessions_issued_total{method="htpasswd"} 0`, `authsvc_sessions_renewed_total 0`, `authsvc_sessions_ended_total{cause="sign_out"} 0`,
		`authsvc_checks_total{dialect="forward",reason="group",result="refused"} 0`,
	} {
		if !strings.Contains(string(text), "\n"+want+"\n") {
			t.Errorf("at the start there is no line %s", want)
		}
	}
}
