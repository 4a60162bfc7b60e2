package scheduler

import (
	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
)

// noDevices refuses pods that need devices, which are not allocated yet: bound
// without them they would never start.
type noDevices struct{}

func (noDevices) Name() string { return placement.DynamicResources }

func (noDevices) Prepare(pod *state.Pod, _ *state.Cluster) (placement.Prepared, *placement.Status) {
	if len(pod.Obj.Spec.ResourceClaims) == 0 {
		return nil, nil
	}
	return nil, &placement.Status{Unresolvable: true, Reasons: []string{
		"Howdah's scheduler does not allocate devices yet, and the pod has spec.resourceClaims; see docs/scheduler.md",
	}}
}
