package metrics

import "github.com/prometheus/client_golang/prometheus"

// What is asked at a scrape rather than counted as it happens.

var (
	keysDesc     = prometheus.NewDesc("authsvc_keys", "Live signing keys, by state.", []string{"state"}, nil)
	signsDesc    = prometheus.NewDesc("authsvc_key_signs_from_timestamp_seconds", "When a live key began or will begin to sign, as Unix time.", []string{"kid"}, nil)
	retiresDesc  = prometheus.NewDesc("authsvc_key_retires_timestamp_seconds", "When a live key stops verifying, as Unix time.", []string{"kid"}, nil)
	verifiedDesc = prometheus.NewDesc("authsvc_key_tokens_verified_total", "Tokens accepted under a live key by this process.", []string{"kid"}, nil)

	runningDesc = prometheus.NewDesc("authsvc_hashes_running", "Passwords being hashed.", nil, nil)
	waitingDesc = prometheus.NewDesc("authsvc_hashes_waiting", "Passwords waiting to be hashed.", nil, nil)
	refusedDesc = prometheus.NewDesc("authsvc_hashes_refused_total", "Passwords not hashed because too many were waiting.", nil, nil)
)

type keys func() []Key

func (keys) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{keysDesc, signsDesc, retiresDesc, verifiedDesc} {
		ch <- d
	}
}

func (k keys) Collect(ch chan<- prometheus.Metric) {
	states := map[string]int{}
	for _, key := range k() {
		states[key.State]++
		ch <- prometheus.MustNewConstMetric(signsDesc, prometheus.GaugeValue, float64(key.SignsFrom.Unix()), key.KID)
		ch <- prometheus.MustNewConstMetric(retiresDesc, prometheus.GaugeValue, float64(key.Retires.Unix()), key.KID)
		ch <- prometheus.MustNewConstMetric(verifiedDesc, prometheus.CounterValue, float64(key.Verified), key.KID)
	}
	for _, s := range KeyStates {
		ch <- prometheus.MustNewConstMetric(keysDesc, prometheus.GaugeValue, float64(states[s]), s)
	}
}

type hashing func() (running, waiting int, refused uint64)

func (hashing) Describe(ch chan<- *prometheus.Desc) {
	ch <- runningDesc
	ch <- waitingDesc
	ch <- refusedDesc
}

func (h hashing) Collect(ch chan<- prometheus.Metric) {
	running, waiting, refused := h()
	ch <- prometheus.MustNewConstMetric(runningDesc, prometheus.GaugeValue, float64(running))
	ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(waiting))
	ch <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(refused))
}
