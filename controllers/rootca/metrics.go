package rootca

import (
	"context"
	"errors"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/utils/clock"
)

// syncMetrics count the syncs of a controller by the status code that they ended
// with.
type syncMetrics struct {
	total    *metrics.CounterVec
	duration *metrics.HistogramVec
	register func()
}

var (
	syncs       = newSyncMetrics("root_ca_cert_publisher", "Number of namespace syncs happened in root ca cert publisher.", "Number of namespace syncs happened in root ca cert publisher.")
	bundleSyncs = newSyncMetrics("clustertrustbundle_publisher", "Number of syncs that occurred in cluster trust bundle publisher.", "The time it took to sync a cluster trust bundle.")
)

func newSyncMetrics(subsystem, total, duration string) *syncMetrics {
	m := &syncMetrics{
		total: metrics.NewCounterVec(&metrics.CounterOpts{Subsystem: subsystem, Name: "sync_total", Help: total, StabilityLevel: metrics.ALPHA}, []string{"code"}),
		duration: metrics.NewHistogramVec(&metrics.HistogramOpts{
			Subsystem: subsystem, Name: "sync_duration_seconds", Help: duration, Buckets: metrics.ExponentialBuckets(0.001, 2, 15), StabilityLevel: metrics.ALPHA,
		}, []string{"code"}),
	}
	m.register = sync.OnceFunc(func() { legacyregistry.MustRegister(m.total, m.duration) })
	return m
}

func (m *syncMetrics) measured(clock clock.PassiveClock, work func(context.Context, string) error) func(context.Context, string) error {
	m.register()
	return func(ctx context.Context, key string) error {
		began := clock.Now()
		err := work(ctx, key)
		code := "200"
		if err != nil {
			code = "500"
			if status := apierrors.APIStatus(nil); errors.As(err, &status) && status.Status().Code != 0 {
				code = strconv.Itoa(int(status.Status().Code))
			}
		}
		m.total.WithLabelValues(code).Inc()
		m.duration.WithLabelValues(code).Observe(clock.Since(began).Seconds())
		return err
	}
}
