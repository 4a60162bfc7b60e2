package replicaset

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/howdah/howdah/controllers/pod"
)

var (
	ages = metrics.NewHistogram(&metrics.HistogramOpts{
		Subsystem: "replicaset_controller",
		Name:      "sorting_deletion_age_ratio",
		Help: "The ratio of chosen deleted pod's ages to the current youngest pod's age (at the time). Should be <2. " +
			"The intent of this metric is to measure the rough efficacy of the sorting (and deletion) of pods when " +
			"a replicaset scales down. This only considers Ready pods when calculating and reporting.",
		Buckets:        metrics.ExponentialBuckets(0.25, 2, 6),
		StabilityLevel: metrics.ALPHA,
	})
	register = sync.OnceFunc(func() { legacyregistry.MustRegister(ages) })
)

// ratios are by how much the doomed pods that are ready are older than the
// youngest of all that are.
func ratios(active, doomed []*corev1.Pod, now time.Time) (all []float64) {
	var youngest time.Time
	for _, p := range active {
		if pod.Ready(p) && p.CreationTimestamp.After(youngest) {
			youngest = p.CreationTimestamp.Time
		}
	}
	for _, p := range doomed {
		if least := now.Sub(youngest); pod.Ready(p) && least > 0 {
			all = append(all, now.Sub(p.CreationTimestamp.Time).Seconds()/least.Seconds())
		}
	}
	return all
}
