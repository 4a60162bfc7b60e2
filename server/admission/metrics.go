package admission

import (
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/metrics"
)

// measured counts what one plugin does, under upstream's names.
func measured(plugin admission.Interface, name string) admission.Interface {
	return metrics.WithControllerMetrics(plugin, name)
}

// measuredSteps counts what all of them do.
func measuredSteps(chain admission.Interface) admission.Interface {
	return metrics.WithStepMetrics(chain)
}
