package nodelifecycle

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

const subsystem = "node_collector"

func gauge(name, help string) *metrics.GaugeVec {
	return metrics.NewGaugeVec(&metrics.GaugeOpts{Subsystem: subsystem, Name: name, Help: help, StabilityLevel: metrics.ALPHA}, []string{"zone"})
}

var (
	zoneHealth = gauge("zone_health", "Gauge measuring percentage of healthy nodes per zone.")
	zoneSize   = gauge("zone_size", "Gauge measuring number of registered Nodes per zones.")
	unhealthy  = gauge("unhealthy_nodes_in_zone", "Gauge measuring number of not Ready Nodes per zones.")
	evictions  = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: subsystem, Name: "evictions_total",
		Help:           "Number of Node evictions that happened since current instance of NodeController started.",
		StabilityLevel: metrics.STABLE,
	}, []string{"zone"})
	oneDuration = metrics.NewHistogram(&metrics.HistogramOpts{
		Subsystem:      subsystem,
		Name:           "update_node_health_duration_seconds",
		Help:           "Duration in seconds for NodeController to update the health of a single node.",
		Buckets:        metrics.ExponentialBuckets(0.001, 4, 8),
		StabilityLevel: metrics.ALPHA,
	})
	allDuration = metrics.NewHistogram(&metrics.HistogramOpts{
		Subsystem: subsystem, Name: "update_all_nodes_health_duration_seconds",
		Help:           "Duration in seconds for NodeController to update the health of all nodes.",
		Buckets:        metrics.ExponentialBuckets(0.01, 4, 8),
		StabilityLevel: metrics.ALPHA,
	})
	register = sync.OnceFunc(func() {
		legacyregistry.MustRegister(zoneHealth, zoneSize, unhealthy, evictions, oneDuration, allDuration)
	})
)

// measure publishes how the zones are.
func measure(counts map[string]count) {
	zoneHealth.Reset()
	zoneSize.Reset()
	unhealthy.Reset()
	for key, c := range counts {
		all := c.ready + c.notReady
		zoneSize.WithLabelValues(key).Set(float64(all))
		unhealthy.WithLabelValues(key).Set(float64(c.notReady))
		zoneHealth.WithLabelValues(key).Set(float64(100*c.ready) / float64(all))
	}
}
