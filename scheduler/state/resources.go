package state

import (
	"maps"
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Resources are amounts in the units that scheduling compares: thousandths of a
// CPU, bytes, and whole numbers for everything else.
type Resources struct {
	MilliCPU         int64
	Memory           int64
	EphemeralStorage int64
	Pods             int64                         // how many pods a node takes; 0 in requests
	Scalar           map[corev1.ResourceName]int64 // extended resources, huge pages, attachable volumes; may be nil
}

// NewResources adds up a list; names that scheduling doesn't know are left out.
func NewResources(list corev1.ResourceList) Resources {
	var r Resources
	for name, quantity := range list {
		switch name {
		case corev1.ResourceCPU:
			r.MilliCPU = milli(&quantity)
		case corev1.ResourceMemory:
			r.Memory = whole(&quantity)
		case corev1.ResourceEphemeralStorage:
			r.EphemeralStorage = whole(&quantity)
		case corev1.ResourcePods:
			r.Pods = whole(&quantity)
		default:
			if IsScalar(name) {
				if r.Scalar == nil {
					r.Scalar = map[corev1.ResourceName]int64{}
				}
				r.Scalar[name] = whole(&quantity)
			}
		}
	}
	return r
}

// milli is a quantity in thousandths; what is too much to say so is as much as
// can be said, not what a sum that wraps around leaves.
func milli(q *resource.Quantity) int64 {
	const most = math.MaxInt64 / 1000
	switch {
	case q.CmpInt64(most) > 0:
		return math.MaxInt64
	case q.CmpInt64(-most) < 0:
		return math.MinInt64
	}
	return q.MilliValue()
}

func whole(q *resource.Quantity) int64 {
	switch {
	case q.CmpInt64(math.MaxInt64) > 0:
		return math.MaxInt64
	case q.CmpInt64(math.MinInt64) < 0:
		return math.MinInt64
	}
	return q.Value()
}

// Requests are the resources of a list of requests, none of them below nothing.
func newRequests(list corev1.ResourceList) Resources {
	r := NewResources(list)
	r.MilliCPU, r.Memory, r.EphemeralStorage, r.Pods = max(r.MilliCPU, 0), max(r.Memory, 0), max(r.EphemeralStorage, 0), 0
	for name, amount := range r.Scalar {
		r.Scalar[name] = max(amount, 0)
	}
	return r
}

// add changes r by other times sign. Sums of absurd amounts wrap around, which
// subtracting undoes exactly; whoever compares treats a negative sum as more
// than anything.
func (r *Resources) add(other *Resources, sign int64) {
	r.MilliCPU += sign * other.MilliCPU
	r.Memory += sign * other.Memory
	r.EphemeralStorage += sign * other.EphemeralStorage
	if len(other.Scalar) > 0 && r.Scalar == nil {
		r.Scalar = map[corev1.ResourceName]int64{}
	}
	for name, amount := range other.Scalar {
		if left := r.Scalar[name] + sign*amount; left != 0 {
			r.Scalar[name] = left
		} else {
			delete(r.Scalar, name)
		}
	}
}

// Empty tells whether nothing is asked for.
func (r *Resources) Empty() bool {
	return r.MilliCPU == 0 && r.Memory == 0 && r.EphemeralStorage == 0 && len(r.Scalar) == 0
}

func (r *Resources) equal(other *Resources) bool {
	return r.MilliCPU == other.MilliCPU && r.Memory == other.Memory && r.EphemeralStorage == other.EphemeralStorage &&
		maps.Equal(r.Scalar, other.Scalar)
}

func (r *Resources) clone() Resources {
	c := *r
	c.Scalar = maps.Clone(r.Scalar)
	return c
}

// IsScalar tells whether scheduling counts a resource by a plain number: an
// extended resource, huge pages, a resource with a kubernetes.io prefix, or a
// limit of attachable volumes.
func IsScalar(name corev1.ResourceName) bool {
	return IsExtended(name) ||
		strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix) ||
		strings.Contains(string(name), corev1.ResourceDefaultNamespacePrefix) ||
		strings.HasPrefix(string(name), corev1.ResourceAttachableVolumesPrefix)
}

// IsExtended tells whether a resource is one that a cluster's owner made up:
// its name has a domain, and not Kubernetes' own.
func IsExtended(name corev1.ResourceName) bool {
	if !strings.Contains(string(name), "/") || strings.Contains(string(name), corev1.ResourceDefaultNamespacePrefix) ||
		strings.HasPrefix(string(name), corev1.DefaultResourceRequestsPrefix) {
		return false
	}
	return len(validation.IsQualifiedName(corev1.DefaultResourceRequestsPrefix+string(name))) == 0
}
