package attach

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	forced = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      "attach_detach_controller",
		Name:           "attachdetach_controller_forced_detaches",
		Help:           "Number of times the A/D Controller performed a forced detach",
		StabilityLevel: metrics.ALPHA,
	}, []string{"reason"})
	register = sync.OnceFunc(func() { legacyregistry.MustRegister(forced) })
)
