package endpoints

import (
	"sync"

	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// mirrorCount is what a Service's mirrored slices hold.
type mirrorCount struct{ endpoints, slices, ideal int }

// mirrorCounts keeps the sums over all Services, for the gauges.
type mirrorCounts struct {
	mu    sync.Mutex
	by    map[cache.ObjectName]mirrorCount
	total mirrorCount
}

func (m *mirrorCounts) set(service cache.ObjectName, count mirrorCount) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.by == nil {
		m.by = map[cache.ObjectName]mirrorCount{}
	}
	before := m.by[service]
	m.total.endpoints += count.endpoints - before.endpoints
	m.total.slices += count.slices - before.slices
	m.total.ideal += count.ideal - before.ideal
	if count == (mirrorCount{}) {
		delete(m.by, service)
	} else {
		m.by[service] = count
	}
	mirrorEndpoints.WithLabelValues().Set(float64(m.total.endpoints))
	mirrorSlices.WithLabelValues().Set(float64(m.total.slices))
	mirrorIdeal.WithLabelValues().Set(float64(m.total.ideal))
}

func (m *mirrorCounts) forget(service cache.ObjectName) { m.set(service, mirrorCount{}) }

const mirrorSubsystem = "endpoint_slice_mirroring_controller"

func mirrorHistogram(name, help string, buckets []float64) *metrics.HistogramVec {
	return metrics.NewHistogramVec(&metrics.HistogramOpts{Subsystem: mirrorSubsystem, Name: name, Help: help, Buckets: buckets, StabilityLevel: metrics.ALPHA}, nil)
}

func mirrorGauge(name, help string) *metrics.GaugeVec {
	return metrics.NewGaugeVec(&metrics.GaugeOpts{Subsystem: mirrorSubsystem, Name: name, Help: help, StabilityLevel: metrics.ALPHA}, nil)
}

var (
	mirrorAdded    = mirrorHistogram("endpoints_added_per_sync", "Number of endpoints added on each Endpoints sync", metrics.ExponentialBuckets(2, 2, 15))
	mirrorUpdated  = mirrorHistogram("endpoints_updated_per_sync", "Number of endpoints updated on each Endpoints sync", metrics.ExponentialBuckets(2, 2, 15))
	mirrorRemoved  = mirrorHistogram("endpoints_removed_per_sync", "Number of endpoints removed on each Endpoints sync", metrics.ExponentialBuckets(2, 2, 15))
	mirrorSkipped  = mirrorHistogram("addresses_skipped_per_sync", "Number of addresses skipped on each Endpoints sync due to being invalid or exceeding MaxEndpointsPerSubset", metrics.ExponentialBuckets(2, 2, 15))
	mirrorDuration = mirrorHistogram("endpoints_sync_duration", "Duration of syncEndpoints() in seconds", metrics.ExponentialBuckets(0.001, 2, 15))

	mirrorEndpoints = mirrorGauge("endpoints_desired", "Number of endpoints desired")
	mirrorSlices    = mirrorGauge("num_endpoint_slices", "Number of EndpointSlices")
	mirrorIdeal     = mirrorGauge("desired_endpoint_slices", "Number of EndpointSlices that would exist with perfect endpoint allocation")

	mirrorChanges = metrics.NewCounterVec(&metrics.CounterOpts{Subsystem: mirrorSubsystem, Name: "changes", Help: "Number of EndpointSlice changes", StabilityLevel: metrics.ALPHA}, []string{"operation"})

	registerMirror = sync.OnceFunc(func() {
		legacyregistry.MustRegister(mirrorAdded, mirrorUpdated, mirrorRemoved, mirrorSkipped, mirrorDuration, mirrorEndpoints, mirrorSlices, mirrorIdeal, mirrorChanges)
	})
)
