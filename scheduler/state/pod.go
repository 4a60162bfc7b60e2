package state

import (
	"unique"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	resourcehelper "k8s.io/component-helpers/resource"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
)

// A Pod is a pod with all that decisions need of it, worked out once.
type Pod struct {
	Obj      *corev1.Pod
	Priority int32

	Requests Resources // what it needs to fit on a node
	Uses     Resources // what it takes where it runs; a resize in place makes the two differ

	// What its uses count as where nodes are scored: containers without a
	// request count something.
	ScoredMilliCPU, ScoredMemory int64

	Ports  []HostPort
	Claims []string // namespace/name of the PersistentVolumeClaims it names
	affinityTerms
	ParseError error // a selector that can't be read; the pod can't be scheduled

	shape string // "": it has a node already, so that it is hardly asked for

	// Kin adds to [Pod.Shape] labels, namespace, owner and what the pod says of
	// other pods.
	Kin string
}

// NewPod works out what decisions need of a pod. The object must not change
// any more.
func NewPod(obj *corev1.Pod) *Pod {
	p := &Pod{Obj: obj, Priority: corev1helpers.PodPriority(obj)}
	p.ask()
	p.Ports = hostPorts(obj)
	for i := range obj.Spec.Volumes {
		if claim := obj.Spec.Volumes[i].PersistentVolumeClaim; claim != nil {
			p.Claims = append(p.Claims, obj.Namespace+"/"+claim.ClaimName)
		}
	}
	p.affinityTerms, p.ParseError = newAffinityTerms(obj)
	if obj.Spec.NodeName == "" {
		p.shape = unique.Make(shape(obj)).Value() // many pods share it
	}
	p.Kin = unique.Make(kin(obj)).Value() // likewise
	return p
}

// Shape is equal for pods that any node treats alike but for labels, namespace,
// volumes and claims.
func (p *Pod) Shape() string {
	if p.shape == "" {
		return shape(p.Obj)
	}
	return p.shape
}

// UID is the pod's identity.
func (p *Pod) UID() types.UID { return p.Obj.UID }

// HasAffinity tells whether the pod says anything of other pods.
func (p *Pod) HasAffinity() bool {
	affinity := p.Obj.Spec.Affinity
	return affinity != nil && (affinity.PodAffinity != nil || affinity.PodAntiAffinity != nil)
}

// alike tells whether a newer version of a pod changes nothing for decisions.
func (p *Pod) alike(newer *Pod) bool {
	return p.Kin == newer.Kin && p.Priority == newer.Priority &&
		(p.Obj.DeletionTimestamp == nil) == (newer.Obj.DeletionTimestamp == nil) &&
		p.Uses.equal(&newer.Uses) && p.ScoredMilliCPU == newer.ScoredMilliCPU && p.ScoredMemory == newer.ScoredMemory
}

// ScoredRequest is what an incoming pod asks of a resource where nodes are
// scored. With exact, containers without a request count nothing. Without, they
// do, and requests of the pod as a whole are left out, as in kube-scheduler.
func (p *Pod) ScoredRequest(name corev1.ResourceName, exact bool) int64 {
	options := resourcehelper.PodResourcesOptions{UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true}
	if !exact {
		options = resourcehelper.PodResourcesOptions{
			SkipPodLevelResources: true,
			NonMissingContainerRequests: corev1.ResourceList{
				corev1.ResourceCPU:    *resource.NewMilliQuantity(defaultMilliCPU, resource.DecimalSI),
				corev1.ResourceMemory: *resource.NewQuantity(defaultMemory, resource.DecimalSI),
			},
		}
	}
	requests := resourcehelper.PodRequests(p.Obj, options)
	quantity := requests[name]
	if name == corev1.ResourceCPU {
		return quantity.MilliValue()
	}
	return quantity.Value()
}
