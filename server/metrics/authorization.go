package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Authorizations count the decisions on requests, under kube-apiserver's names.
type Authorizations struct {
	attempts *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// NewAuthorizations returns counts of nothing; they are shown with [Sources].
func NewAuthorizations() *Authorizations {
	return &Authorizations{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authorization_attempts_total",
			Help: "[ALPHA] Counter of authorization attempts broken down by result. It can be either 'allowed', 'denied', 'no-opinion' or 'error'.",
		}, []string{"result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "authorization_duration_seconds",
			Help:    "[ALPHA] Authorization duration in seconds broken out by result.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}, []string{"result"}),
	}
}

// Collectors are for [Sources].
func (a *Authorizations) Collectors() []prometheus.Collector {
	return []prometheus.Collector{a.attempts, a.duration}
}

// Decided counts a decision that took so long.
func (a *Authorizations) Decided(decision authorizer.Decision, err error, took time.Duration) {
	result := "no-opinion"
	switch {
	case decision == authorizer.DecisionAllow:
		result = "allowed"
	case err != nil:
		result = "error"
	case decision == authorizer.DecisionDeny:
		result = "denied"
	}
	a.attempts.WithLabelValues(result).Inc()
	a.duration.WithLabelValues(result).Observe(took.Seconds())
}
