package oidc

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are kube-apiserver's of its JWT authenticators
// (https://kubernetes.io/docs/reference/instrumentation/metrics/); those of
// several authenticators are one's.
type Metrics struct {
	server  string // hashed
	latency *prometheus.HistogramVec
	fetches *prometheus.GaugeVec
	keys    *prometheus.GaugeVec
}

// NewMetrics makes the metrics of the API server with an identity.
func NewMetrics(serverID string) *Metrics {
	const name = "apiserver_authentication_jwt_authenticator_"
	return &Metrics{
		server: hash(serverID),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    name + "latency_seconds",
			Help:    "[ALPHA] Latency of jwt authentication operations in seconds. This is the time spent authenticating a token for cache miss only (i.e. when the token is not found in the cache).",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"result", "jwt_issuer_hash"}),
		fetches: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: name + "jwks_fetch_last_timestamp_seconds",
			Help: "[ALPHA] Timestamp of the last successful or failed JWKS fetch split by result, api server identity and jwt issuer for the JWT authenticator.",
		}, []string{"result", "jwt_issuer_hash", "apiserver_id_hash"}),
		keys: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: name + "jwks_fetch_last_key_set_info",
			Help: "[ALPHA] Information about the last JWKS fetched by the JWT authenticator with hash as label, split by api server identity and jwt issuer.",
		}, []string{"jwt_issuer_hash", "apiserver_id_hash", "hash"}),
	}
}

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.latency.Describe(ch)
	m.fetches.Describe(ch)
	m.keys.Describe(ch)
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.latency.Collect(ch)
	m.fetches.Collect(ch)
	m.keys.Collect(ch)
}

// Forget drops what is known of fetching the keys of an issuer that is no
// longer configured.
func (m *Metrics) Forget(issuer string) {
	labels := prometheus.Labels{"jwt_issuer_hash": hash(issuer)}
	m.fetches.DeletePartialMatch(labels)
	m.keys.DeletePartialMatch(labels)
}

func (m *Metrics) authenticated(issuer string, success bool, took time.Duration) {
	result := "success"
	if !success {
		result = "failure"
	}
	m.latency.WithLabelValues(result, hash(issuer)).Observe(took.Seconds())
}

func (m *Metrics) fetchFailed(issuer string) {
	m.fetches.WithLabelValues("failure", hash(issuer), m.server).SetToCurrentTime()
}

func (m *Metrics) fetched(issuer string, keys []byte) {
	m.fetches.WithLabelValues("success", hash(issuer), m.server).SetToCurrentTime()
	m.keys.DeletePartialMatch(prometheus.Labels{"jwt_issuer_hash": hash(issuer)})
	m.keys.WithLabelValues(hash(issuer), m.server, hash(string(keys))).Set(1)
}

func hash(text string) string {
	if text == "" {
		return ""
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text)))
}
