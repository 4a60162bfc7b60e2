package autoscaling

import (
	"errors"
	"sync"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

const subsystem = "horizontal_pod_autoscaler_controller"

var (
	reconciliations = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      subsystem,
		Name:           "reconciliations_total",
		Help:           "Number of reconciliations of HPA controller. The label 'action' should be either 'scale_down', 'scale_up', or 'none'. Also, the label 'error' should be either 'spec', 'internal', or 'none'. Note that if both spec and internal errors happen during a reconciliation, the first one to occur is reported in `error` label.",
		StabilityLevel: metrics.BETA,
	}, []string{"action", "error"})
	reconciliationDuration = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Subsystem:      subsystem,
		Name:           "reconciliation_duration_seconds",
		Help:           "The time(seconds) that the HPA controller takes to reconcile once. The label 'action' should be either 'scale_down', 'scale_up', or 'none'. Also, the label 'error' should be either 'spec', 'internal', or 'none'. Note that if both spec and internal errors happen during a reconciliation, the first one to occur is reported in `error` label.",
		Buckets:        metrics.ExponentialBuckets(0.001, 2, 15),
		StabilityLevel: metrics.BETA,
	}, []string{"action", "error"})
	computations = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      subsystem,
		Name:           "metric_computation_total",
		Help:           "Number of metric computations. The label 'action' should be either 'scale_down', 'scale_up', or 'none'. Also, the label 'error' should be either 'spec', 'internal', or 'none'. The label 'metric_type' corresponds to HPA.spec.metrics[*].type",
		StabilityLevel: metrics.BETA,
	}, []string{"action", "error", "metric_type"})
	computationDuration = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Subsystem:      subsystem,
		Name:           "metric_computation_duration_seconds",
		Help:           "The time(seconds) that the HPA controller takes to calculate one metric. The label 'action' should be either 'scale_down', 'scale_up', or 'none'. The label 'error' should be either 'spec', 'internal', or 'none'. The label 'metric_type' corresponds to HPA.spec.metrics[*].type",
		Buckets:        metrics.ExponentialBuckets(0.001, 2, 15),
		StabilityLevel: metrics.BETA,
	}, []string{"action", "error", "metric_type"})
	controlled = metrics.NewGauge(&metrics.GaugeOpts{
		Subsystem:      subsystem,
		Name:           "num_horizontal_pod_autoscalers",
		Help:           "Current number of controlled HPA objects.",
		StabilityLevel: metrics.ALPHA,
	})
	desiredCount = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Subsystem:      subsystem,
		Name:           "desired_replicas",
		Help:           "Current desired replica count for HPA objects.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"namespace", "hpa_name"})
	stale = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      subsystem,
		Name:           "stale_sync_skips_total",
		Help:           "Total number of HPA syncs skipped due to a stale watch cache.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"group", "resource"})
	register = sync.OnceFunc(func() {
		legacyregistry.MustRegister(reconciliations, reconciliationDuration, computations, computationDuration, controlled, desiredCount, stale)
	})
)

// Actions, as labels.
const (
	scaleUp   = "scale_up"
	scaleDown = "scale_down"
	none      = "none"
)

func action(from, to int32) string {
	switch {
	case to > from:
		return scaleUp
	case to < from:
		return scaleDown
	}
	return none
}

func errorLabel(err error) string {
	switch {
	case err == nil:
		return none
	case errors.Is(err, errSpec):
		return "spec"
	}
	return "internal"
}

func observeReconciliation(action string, err error, took time.Duration) {
	reconciliations.WithLabelValues(action, errorLabel(err)).Inc()
	reconciliationDuration.WithLabelValues(action, errorLabel(err)).Observe(took.Seconds())
}

func observeComputation(action string, err error, kind autoscalingv2.MetricSourceType, took time.Duration) {
	if err != nil {
		action = none
	}
	computations.WithLabelValues(action, errorLabel(err), string(kind)).Inc()
	computationDuration.WithLabelValues(action, errorLabel(err), string(kind)).Observe(took.Seconds())
}
