package device

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
)

// unwritten names a claim that is not in the API yet; no claim there can have
// the name.
const unwritten = "<extended-resources>"

// mayBeDevices tells whether a resource is of the kind for which devices can
// stand.
func mayBeDevices(name corev1.ResourceName) bool {
	return state.IsExtended(name) || strings.HasPrefix(string(name), resourceapi.ResourceDeviceClassPrefix)
}

// specialOf is the claim for a pod's extended resources for which devices may
// stand: one that an earlier attempt left, or one that is still to be written;
// nil: the pod needs none.
func (p *plugin) specialOf(pod *state.Pod) *resourceapi.ResourceClaim {
	needed := false
	for name, amount := range pod.Requests.Scalar {
		needed = needed || amount > 0 && mayBeDevices(name) && p.Stands(name)
	}
	if !needed {
		return nil
	}
	if claim := p.leftBy(pod.Obj); claim != nil {
		return claim
	}
	return &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{
		Namespace: pod.Obj.Namespace, Name: unwritten, GenerateName: pod.Obj.Name + "-extended-resources-", UID: types.UID(uuid.NewString()),
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Obj.Name, UID: pod.UID(), Controller: ptr.To(true)}},
		Annotations:     map[string]string{resourceapi.ExtendedResourceClaimAnnotation: "true"},
	}}
}

// leftBy is the claim for extended resources that an earlier attempt to place a
// pod wrote.
func (d *Devices) leftBy(pod *corev1.Pod) *resourceapi.ResourceClaim {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, claim := range d.special[pod.UID] {
		return claim
	}
	return nil
}

// extendedOn works out what the claim for extended resources requests on a node;
// false: the node itself has all of them.
func (w *wants) extendedOn(node *state.Node, g *grant) (bool, *placement.Status) {
	special := w.special()
	if special.Spec.Devices.Requests != nil {
		// Of an earlier attempt. Nobody knows whether its devices still suit.
		return false, refuse("cannot schedule extended resource claim")
	}
	var byDevices []corev1.ResourceName
	for name, amount := range w.pod.Requests.Scalar {
		if amount == 0 || !mayBeDevices(name) {
			continue
		}
		allocatable, has := node.Allocatable.Scalar[name]
		if w.Stands(name) && allocatable == 0 {
			byDevices = append(byDevices, name)
		} else if !has {
			return false, refuse("cannot fit resource")
		}
	}
	if len(byDevices) == 0 {
		return false, nil
	}
	slices.Sort(byDevices)
	g.special = special.DeepCopy()
	for _, name := range byDevices {
		w.request(name, g)
	}
	slices.SortFunc(g.special.Spec.Devices.Requests, func(a, b resourceapi.DeviceRequest) int { return strings.Compare(a.Name, b.Name) })
	return true, nil
}

// request adds what a pod's containers request of one resource. Init containers
// that end use devices of those that run later before any of their own, and
// share these with each other.
func (w *wants) request(name corev1.ResourceName, g *grant) {
	class := w.extended.GetDeviceClass(name)
	if class == nil {
		return
	}
	spec := &w.pod.Obj.Spec
	containers := slices.Concat(spec.InitContainers, spec.Containers)
	ends := func(i int) bool {
		return i < len(spec.InitContainers) && ptr.Deref(containers[i].RestartPolicy, "") != corev1.ContainerRestartPolicyAlways
	}
	lasting := make([]*resourceapi.DeviceRequest, len(containers))
	for i := range containers {
		if !ends(i) {
			request, mappings := requestOf(i, &containers[i], name, class.Name, nil)
			lasting[i] = request
			g.mappings = append(g.mappings, mappings...)
		}
	}
	var largest *resourceapi.DeviceRequest
	var passing []corev1.ContainerExtendedResourceRequest
	names := map[string]bool{}
	for i := range spec.InitContainers {
		if !ends(i) {
			continue
		}
		request, mappings := requestOf(i, &containers[i], name, class.Name, lasting[i:])
		if request != nil {
			names[request.Name] = true
			if largest == nil || largest.Exactly.Count < request.Exactly.Count {
				largest = request
			}
		}
		passing = append(passing, mappings...)
	}
	for i := range passing {
		if names[passing[i].RequestName] {
			passing[i].RequestName = largest.Name
		}
	}
	g.mappings = append(g.mappings, passing...)
	for _, request := range append([]*resourceapi.DeviceRequest{largest}, lasting...) {
		if request != nil {
			g.special.Spec.Devices.Requests = append(g.special.Spec.Devices.Requests, *request)
		}
	}
}

// requestOf is what a container needs of a resource beyond what others that run
// later request, and which requests serve it. Both may be none.
func requestOf(index int, container *corev1.Container, name corev1.ResourceName, class string, others []*resourceapi.DeviceRequest) (*resourceapi.DeviceRequest, []corev1.ContainerExtendedResourceRequest) {
	quantity := container.Resources.Requests[name]
	amount, ok := quantity.AsInt64()
	if !ok || amount == 0 {
		return nil, nil
	}
	var mappings []corev1.ContainerExtendedResourceRequest
	served := func(by string) {
		mappings = append(mappings, corev1.ContainerExtendedResourceRequest{ContainerName: container.Name, ResourceName: string(name), RequestName: by})
	}
	var had int64
	for _, other := range others {
		if other == nil {
			continue
		}
		had += other.Exactly.Count
		served(other.Name)
		if had >= amount {
			return nil, mappings
		}
	}
	var sorted []string
	for other := range container.Resources.Requests {
		sorted = append(sorted, string(other))
	}
	slices.Sort(sorted)
	request := &resourceapi.DeviceRequest{
		Name: fmt.Sprintf("container-%d-request-%d", index, slices.Index(sorted, string(name))),
		Exactly: &resourceapi.ExactDeviceRequest{
			DeviceClassName: class, AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: amount - had,
		},
	}
	served(request.Name)
	return request, mappings
}
