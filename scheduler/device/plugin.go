package device

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/dynamic-resource-allocation/structured"

	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
)

// plugin is DynamicResources for one profile.
type plugin struct {
	*Devices
	profile string
	args    Args
}

func (p *plugin) Name() string { return placement.DynamicResources }

func refuse(reason string) *placement.Status {
	return &placement.Status{Unresolvable: true, Reasons: []string{reason}}
}

// Prepare looks at the pod's claims: whether all are there, and which of them
// need devices.
func (p *plugin) Prepare(pod *state.Pod, _ *state.Cluster) (placement.Prepared, *placement.Status) {
	claims, err := p.claimsOf(pod.Obj)
	if err != nil {
		return nil, refuse(err.Error())
	}
	special := p.specialOf(pod)
	if len(claims) == 0 && special == nil {
		return nil, nil
	}
	w := &wants{plugin: p, pod: pod, own: len(claims), byNode: map[string]*grant{}, unavailable: map[int]bool{}}
	if special != nil {
		claims = append(claims, special)
	}
	w.claims, w.selectors = claims, make([]*nodeaffinity.NodeSelector, len(claims))
	allocate := false
	for i, claim := range claims {
		if allocation := claim.Status.Allocation; allocation != nil {
			if allocation.NodeSelector != nil {
				if w.selectors[i], err = nodeaffinity.NewNodeSelector(allocation.NodeSelector); err != nil {
					return nil, &placement.Status{Err: err}
				}
			}
			continue
		}
		allocate = true
		if p.inFlight(claim.UID) {
			return nil, refuse(fmt.Sprintf("resource claim %s is in the process of being allocated", keyOf(claim)))
		}
		if claim == special {
			continue // what it requests depends on the node
		}
		if status := p.checkClasses(claim); status != nil {
			return nil, status
		}
	}
	if allocate {
		if status := w.prepareAllocator(); status != nil {
			return nil, status
		}
	}
	return w, nil
}

// checkClasses refuses a claim of which a class isn't there.
func (p *plugin) checkClasses(claim *resourceapi.ResourceClaim) *placement.Status {
	check := func(request, class string) *placement.Status {
		if class == "" {
			return &placement.Status{Err: fmt.Errorf("request %s: unsupported request type", request)}
		}
		if _, err := p.classes.Get(class); apierrors.IsNotFound(err) {
			return refuse(fmt.Sprintf("request %s: device class %s does not exist", request, class))
		}
		return nil
	}
	for i := range claim.Spec.Devices.Requests {
		request := &claim.Spec.Devices.Requests[i]
		switch {
		case request.Exactly != nil:
			if status := check(request.Name, request.Exactly.DeviceClassName); status != nil {
				return status
			}
		case len(request.FirstAvailable) > 0:
			for j := range request.FirstAvailable {
				if status := check(request.Name+"/"+request.FirstAvailable[j].Name, request.FirstAvailable[j].DeviceClassName); status != nil {
					return status
				}
			}
		default:
			return refuse(fmt.Sprintf("resource claim %s, request %s: unknown request type", keyOf(claim), request.Name))
		}
	}
	return nil
}

// wants is what a pod's claims ask of nodes.
type wants struct {
	*plugin
	pod         *state.Pod
	claims      []*resourceapi.ResourceClaim // the pod's own, and then perhaps the one for extended resources
	own         int                          // how many are the pod's own
	selectors   []*nodeaffinity.NodeSelector // by claim: where its devices can be used; nil: anywhere
	allocator   structured.Allocator         // nil: all claims have devices
	byNode      map[string]*grant
	unavailable map[int]bool // claims whose devices some node can't use
}

// grant is what claims without devices get on one node.
type grant struct {
	special     *resourceapi.ResourceClaim // as the node needs it; nil: not at all
	mappings    []corev1.ContainerExtendedResourceRequest
	allocations []resourceapi.AllocationResult // for the claims without devices, in their order
}

// special is the claim for extended resources; nil: there is none.
func (w *wants) special() *resourceapi.ResourceClaim {
	if w.own == len(w.claims) {
		return nil
	}
	return w.claims[w.own]
}

func (w *wants) prepareAllocator() *placement.Status {
	slices, err := w.Slices.ListPatchedResourceSlices()
	if err != nil {
		return &placement.Status{Err: err}
	}
	w.mu.Lock()
	taken := w.ledger.state()
	w.mu.Unlock()
	if w.allocator, err = structured.NewAllocator(context.Background(), features, *taken, w.classes, slices, w.compiled); err != nil {
		return &placement.Status{Err: err}
	}
	return nil
}

// MayHelp tells whether a pod that was refused may be accepted after an event.
func (p *plugin) MayHelp(event placement.Event, pod *state.Pod) bool {
	if event.Cause == placement.OwnDeviceClaims {
		return !p.Lacks(pod.Obj)
	}
	before, _ := event.Old.(*resourceapi.ResourceClaim)
	after, _ := event.New.(*resourceapi.ResourceClaim)
	switch {
	case before == nil && after == nil:
		return true // something else
	case after == nil:
		return before.Status.Allocation != nil
	}
	claims, err := p.claimsOf(pod.Obj)
	if err != nil {
		return false // a claim that is missing will come
	}
	if before != nil && before.Status.Allocation != nil && after.Status.Allocation == nil {
		return true // devices are free
	}
	for _, claim := range claims {
		if claim.UID == after.UID {
			return before == nil || !equality.Semantic.DeepEqual(&before.Status, &after.Status)
		}
	}
	return false
}

// reserved tells whether a claim is reserved for a pod.
func reserved(claim *resourceapi.ResourceClaim, pod *corev1.Pod) bool {
	return resourceclaim.IsReservedForPod(pod, claim, false)
}
