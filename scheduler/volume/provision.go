package volume

import (
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	volumehelpers "k8s.io/component-helpers/storage/volume"

	"github.com/howdah/howdah/scheduler/state"
)

// provide tells whether the claims' classes can make volumes for a node: why
// not, or "".
func (p *bound) provide(out *found, claims []*corev1.PersistentVolumeClaim, node *corev1.Node) (string, error) {
	for _, claim := range claims {
		name := volumehelpers.GetPersistentVolumeClaimClass(claim)
		if name == "" {
			return "", fmt.Errorf("no class for claim %q", claim.Namespace+"/"+claim.Name)
		}
		class, err := p.classes.Get(name)
		if err != nil {
			return "", fmt.Errorf("failed to find storage class %q", name)
		}
		if class.Provisioner == "" || class.Provisioner == volumehelpers.NotSupportedProvisioner || !allowed(class.AllowedTopologies, node.Labels) {
			return noMatch, nil
		}
		enough, capacity, err := p.enough(class, claim, node)
		if err != nil {
			return "", err
		}
		if !enough {
			return noSpace, nil
		}
		out.provisions = append(out.provisions, provision{claim, capacity})
	}
	return "", nil
}

// allowed tells whether one of the terms selects the labels; no terms allow all.
func allowed(terms []corev1.TopologySelectorTerm, set map[string]string) bool {
	for _, term := range terms {
		selector := labels.NewSelector()
		valid := len(term.MatchLabelExpressions) > 0
		for _, expression := range term.MatchLabelExpressions {
			requirement, err := labels.NewRequirement(expression.Key, selection.In, expression.Values)
			if err != nil {
				valid = false
				break
			}
			selector = selector.Add(*requirement)
		}
		if valid && selector.Matches(labels.Set(set)) {
			return true
		}
	}
	return len(terms) == 0
}

// enough tells whether the driver has room for a claim within the node's reach.
// Drivers that don't report room are taken to have it.
func (p *bound) enough(class *storagev1.StorageClass, claim *corev1.PersistentVolumeClaim, node *corev1.Node) (bool, *storagev1.CSIStorageCapacity, error) {
	quantity, ok := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if !ok {
		return true, nil, nil
	}
	driver, err := p.drivers.Get(class.Provisioner)
	if err != nil {
		if apierrors.IsNotFound(err) {
			return true, nil, nil
		}
		return false, nil, err
	}
	if driver.Spec.StorageCapacity == nil || !*driver.Spec.StorageCapacity {
		return true, nil, nil
	}
	capacities, err := p.capacities.List(labels.Everything())
	if err != nil {
		return false, nil, err
	}
	for _, capacity := range capacities {
		limit := capacity.MaximumVolumeSize
		if limit == nil {
			limit = capacity.Capacity
		}
		if capacity.StorageClassName != class.Name || capacity.NodeTopology == nil || limit == nil || limit.Value() < quantity.Value() {
			continue
		}
		if selector, err := metav1.LabelSelectorAsSelector(capacity.NodeTopology); err == nil && selector.Matches(labels.Set(node.Labels)) {
			return true, capacity, nil
		}
	}
	return false, nil, nil
}

// Score prefers, by the shape of the arguments, nodes by how much of their
// volumes or of their driver's room the claims use.
func (p *bound) Score(nodes []*state.Node) ([]int64, bool) {
	scores := make([]int64, len(nodes))
	for i, node := range nodes {
		if f := p.byNode[node.Name()]; f != nil {
			scores[i] = p.scoreOf(f)
		}
	}
	return scores, true
}

type usage struct{ requested, capacity int64 }

func (p *bound) scoreOf(f *found) int64 {
	classes := map[string]*usage{}
	of := func(class string) *usage {
		if classes[class] == nil {
			classes[class] = &usage{}
		}
		return classes[class]
	}
	for _, m := range f.matches {
		u := of(volumehelpers.GetPersistentVolumeClaimClass(m.claim))
		requested, capacity := m.claim.Spec.Resources.Requests[corev1.ResourceStorage], m.volume.Spec.Capacity[corev1.ResourceStorage]
		u.requested += requested.Value()
		u.capacity += capacity.Value()
	}
	if len(f.matches) == 0 {
		for _, made := range f.provisions {
			if made.capacity == nil || made.capacity.Capacity == nil {
				continue
			}
			u := of(*made.claim.Spec.StorageClassName)
			requested := made.claim.Spec.Resources.Requests[corev1.ResourceStorage]
			u.requested += requested.Value()
			u.capacity = made.capacity.Capacity.Value()
		}
	}
	if len(classes) == 0 {
		return 0
	}
	var sum int64
	for _, u := range classes {
		utilization := int64(100)
		if u.capacity != 0 && u.requested <= u.capacity {
			utilization = u.requested * 100 / u.capacity
		}
		sum += p.args.shape(utilization)
	}
	return int64(math.Round(float64(sum) / float64(len(classes))))
}

// shape is the line through the points.
func (a *Args) shape(utilization int64) int64 {
	for i, point := range a.Shape {
		if utilization <= point.Utilization {
			if i == 0 {
				return point.Score * 10
			}
			before := a.Shape[i-1]
			return before.Score*10 + (point.Score-before.Score)*10*(utilization-before.Utilization)/(point.Utilization-before.Utilization)
		}
	}
	if len(a.Shape) == 0 {
		return 0
	}
	return a.Shape[len(a.Shape)-1].Score * 10
}
