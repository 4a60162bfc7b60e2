package device

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/resourceclaim/metrics"
)

// Metrics are kube-scheduler's of devices.
type Metrics struct {
	allocations *prometheus.CounterVec
	waits       *prometheus.HistogramVec
}

// NewMetrics has counted nothing yet.
func NewMetrics() *Metrics {
	metrics.RegisterMetrics()
	const namespace = "scheduler"
	labels := []string{"profile", "driver", "status"}
	return &Metrics{
		allocations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "dra_bindingconditions_allocations_total",
			Help: "Number of allocations using devices with BindingConditions, counted per driver per scheduling attempt",
		}, labels),
		waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "dra_bindingconditions_wait_duration_seconds", Buckets: prometheus.ExponentialBuckets(0.1, 2, 14),
			Help: "Time in seconds spent waiting for BindingConditions to be satisfied during PreBind.",
		}, labels),
	}
}

// Collectors are the metrics.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.allocations, m.waits}
}

// created counts claims for extended resources.
func (m *Metrics) created(ok bool) {
	status := "failure"
	if ok {
		status = "success"
	}
	metrics.ResourceClaimCreate.WithLabelValues(status, "false", "", "Pod").Inc()
}

// waited counts what became of waiting for a claim's devices.
func (m *Metrics) waited(profile string, claim *resourceapi.ResourceClaim, status string, took time.Duration) {
	if claim.Status.Allocation == nil {
		return
	}
	for i := range claim.Status.Allocation.Devices.Results {
		result := &claim.Status.Allocation.Devices.Results[i]
		m.waits.WithLabelValues(profile, result.Driver, status).Observe(took.Seconds())
		if len(result.BindingConditions) > 0 {
			m.allocations.WithLabelValues(profile, result.Driver, status).Inc()
		}
	}
}
