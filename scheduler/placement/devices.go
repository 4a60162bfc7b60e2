package placement

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/howdah/howdah/scheduler/state"
)

// Devices stand for extended resources on nodes that have none of them.
type Devices interface {
	// Stands tells whether devices may stand for a resource.
	Stands(corev1.ResourceName) bool
	// Count counts devices as they are now, for one decision.
	Count() (DeviceCount, error)
}

// A DeviceCount says how many devices there are on a node that can stand for a
// resource, none if devices don't, and how many of these are taken.
type DeviceCount interface {
	On(node *state.Node, resource corev1.ResourceName) (there, taken int64)
}

// stands: devices may stand for the resource where a node has none of it.
func (p *profile) stands(name corev1.ResourceName) bool {
	return p.devices != nil && p.devices.Stands(name)
}

// delegated: devices stand for the resource on this node.
func (p *profile) delegated(name corev1.ResourceName, node *state.Node) bool {
	return node.Allocatable.Scalar[name] <= 0 && p.stands(name)
}

// counts: scores look at what a pod requests of a resource that devices may stand for.
func (p *profile) counts(name corev1.ResourceName, request int64) bool {
	return request > 0 && state.IsScalar(name) && p.stands(name)
}
