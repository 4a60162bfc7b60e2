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

var (
	syncs = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      "root_ca_cert_publisher",
		Name:           "sync_total",
		Help:           "Number of namespace syncs happened in root ca cert publisher.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"code"})
	duration = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Subsystem:      "root_ca_cert_publisher",
		Name:           "sync_duration_seconds",
		Help:           "Number of namespace syncs happened in root ca cert publisher.",
		Buckets:        metrics.ExponentialBuckets(0.001, 2, 15),
		StabilityLevel: metrics.ALPHA,
	}, []string{"code"})
	register = sync.OnceFunc(func() { legacyregistry.MustRegister(syncs, duration) })
)

// measured counts syncs by the status code that they ended with.
func measured(clock clock.PassiveClock, work func(context.Context, string) error) func(context.Context, string) error {
	register()
	return func(ctx context.Context, namespace string) error {
		began := clock.Now()
		err := work(ctx, namespace)
		code := "200"
		if err != nil {
			code = "500"
			if status := apierrors.APIStatus(nil); errors.As(err, &status) && status.Status().Code != 0 {
				code = strconv.Itoa(int(status.Status().Code))
			}
		}
		syncs.WithLabelValues(code).Inc()
		duration.WithLabelValues(code).Observe(clock.Since(began).Seconds())
		return err
	}
}
