package metrics

import (
	"k8s.io/apiserver/pkg/endpoints/metrics"
	basemetrics "k8s.io/component-base/metrics"

	"github.com/howdah/howdah/server/resource"
)

// A Watch records the events that are sent to the watchers of one row.
type Watch struct {
	events basemetrics.CounterMetric
	sizes  basemetrics.ObserverMetric
}

// NewWatch looks the row's metrics up, once for many events.
func NewWatch(row *resource.Resource) Watch {
	metrics.Register()
	return Watch{
		events: metrics.WatchEvents.WithLabelValues(row.Group, row.Version, row.Resource),
		sizes:  metrics.WatchEventsSizes.WithLabelValues(row.Group, row.Version, row.Resource),
	}
}

// Sent records one event of that many bytes.
func (w Watch) Sent(size int) {
	w.events.Inc()
	w.sizes.Observe(float64(size))
}
