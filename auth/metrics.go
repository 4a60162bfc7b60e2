package auth

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Metrics count who called, under kube-apiserver's names.
type Metrics struct {
	attempts, users *prometheus.CounterVec
	duration        *prometheus.HistogramVec
	expiration      prometheus.Histogram
}

// NewMetrics returns metrics that the caller registers, see [Metrics.Collectors].
func NewMetrics() *Metrics {
	return &Metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authentication_attempts", Help: "[ALPHA] Counter of authenticated attempts.",
		}, []string{"result"}),
		users: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authenticated_user_requests", Help: "[ALPHA] Counter of authenticated requests broken out by username.",
		}, []string{"username"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "authentication_duration_seconds", Help: "[ALPHA] Authentication duration in seconds broken out by result.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}, []string{"result"}),
		expiration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "apiserver_client_certificate_expiration_seconds",
			Help:    "[ALPHA] Distribution of the remaining lifetime on the certificate used to authenticate a request.",
			Buckets: []float64{0, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 345600, 604800, 2592000, 7776000, 15552000, 31104000},
		}),
	}
}

// Collectors are the metrics, for the caller to register.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.attempts, m.users, m.duration, m.expiration}
}

// Attempt records one request: who it was from, nil if nobody was let in, and
// why not. Neither means that it had no credentials.
func (m *Metrics) Attempt(caller user.Info, err error, took time.Duration) {
	result := "failure"
	switch {
	case err != nil:
		result = "error"
	case caller != nil:
		result = "success"
		m.users.WithLabelValues(nameLabel(caller.GetName())).Inc()
	}
	m.attempts.WithLabelValues(result).Inc()
	m.duration.WithLabelValues(result).Observe(took.Seconds())
}

func (m *Metrics) certificate(left time.Duration) {
	if m != nil {
		m.expiration.Observe(left.Seconds())
	}
}

// nameLabel keeps names out of the metrics but for a few that everybody has;
// the list is kube-apiserver's.
func nameLabel(name string) string {
	switch name {
	case "admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default":
		return name
	}
	if strings.Contains(name, "@") {
		return "email_id"
	}
	return "other"
}
