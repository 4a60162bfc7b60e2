package server

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
	metricsfeatures "k8s.io/component-base/metrics/features"
	"k8s.io/kubernetes/pkg/capabilities"
)

// ProcessOptions are what upstream's packages keep once for a process: the first
// server of a process decides, as far as limits of containers go. The zero value is the default.
type ProcessOptions struct {
	NoPrivileged bool // containers may not be privileged
	// ConnectionBytesPerSecond bounds exec, attach, port-forward and proxies;
	// 0: no bound.
	ConnectionBytesPerSecond int64
	FeatureGates             map[string]bool
}

var addMetricsFeatures = sync.OnceFunc(func() {
	utilruntime.Must(metricsfeatures.AddFeatureGates(utilfeature.DefaultMutableFeatureGate))
})

// apply must come before metrics are registered.
func (o *ProcessOptions) apply(log *slog.Logger) error {
	addMetricsFeatures()
	gates := utilfeature.DefaultMutableFeatureGate
	all := gates.GetAll()
	for _, name := range slices.Sorted(maps.Keys(o.FeatureGates)) {
		spec, known := all[featuregate.Feature(name)]
		enabled := o.FeatureGates[name]
		// In upstream's words; but upstream's own check leaves the gates unusable.
		switch {
		case !known:
			return fmt.Errorf("--feature-gates: unrecognized feature gate: %s", name)
		case spec.Default == enabled:
		case spec.LockToDefault:
			return fmt.Errorf("--feature-gates: cannot set feature gate %s to %t, feature is locked to %t", name, enabled, spec.Default)
		default:
			log.Warn("The feature gate holds for the API (types, validation, admission); Howdah's own scheduler and controllers do what is on by default", "gate", name, "enabled", enabled)
		}
	}
	if err := gates.SetFromMap(o.FeatureGates); err != nil {
		return fmt.Errorf("--feature-gates: %w", err)
	}
	metricsfeatures.ApplyFeatureGates(utilfeature.DefaultFeatureGate)
	capabilities.Setup(!o.NoPrivileged, o.ConnectionBytesPerSecond)
	return nil
}
