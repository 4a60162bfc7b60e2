package difftest

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/informers"
	"k8s.io/dynamic-resource-allocation/deviceclass/extendedresourcecache"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/util/assumecache"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/howdah/howdah/scheduler/device"
)

const driver = "devices.example.com"

// devices are what there is of devices in a world.
type devices struct {
	classes []*resourceapi.DeviceClass
	slices  []*resourceapi.ResourceSlice
	claims  []*resourceapi.ResourceClaim
}

// ListPatchedResourceSlices implements [device.Slices].
func (d *devices) ListPatchedResourceSlices() ([]*resourceapi.ResourceSlice, error) {
	return d.slices, nil
}

// ours is what Howdah's plugin knows of the world's devices.
func (d *devices) ours(factory informers.SharedInformerFactory) *device.Devices {
	lister := factory.Resource().V1().DeviceClasses()
	out := device.New(device.Options{Classes: lister.Lister(), Slices: d, Clock: clock.RealClock{}})
	for _, class := range d.classes {
		lister.Informer().GetIndexer().Add(class)
		out.ClassChanged(nil, class)
	}
	for _, claim := range d.claims {
		out.ClaimChanged(nil, claim)
	}
	return out
}

// manager tells upstream's plugin of the same.
type manager struct {
	*devices
	extended *extendedresourcecache.ExtendedResourceCache
}

func (d *devices) theirs() *manager {
	m := &manager{d, extendedresourcecache.NewExtendedResourceCache(klog.Background())}
	for _, class := range d.classes {
		m.extended.OnAdd(class, true)
	}
	return m
}

func (m *manager) ResourceClaims() fwk.ResourceClaimTracker     { return tracker{devices: m.devices} }
func (m *manager) ResourceSlices() fwk.ResourceSliceLister      { return m }
func (m *manager) DeviceClasses() fwk.DeviceClassLister         { return classes{m.devices} }
func (m *manager) DeviceClassResolver() fwk.DeviceClassResolver { return m.extended }
func (m *manager) ListWithDeviceTaintRules() ([]*resourceapi.ResourceSlice, error) {
	return m.slices, nil
}

type classes struct{ *devices }

func (c classes) List() ([]*resourceapi.DeviceClass, error) { return c.classes, nil }
func (c classes) Get(name string) (*resourceapi.DeviceClass, error) {
	for _, class := range c.classes {
		if class.Name == name {
			return class, nil
		}
	}
	return nil, apierrors.NewNotFound(resourceapi.Resource("deviceclass"), name)
}

// tracker knows claims of which none is being allocated.
type tracker struct {
	fwk.ResourceClaimTracker // what filters and scores don't call
	*devices
}

func (t tracker) List() ([]*resourceapi.ResourceClaim, error) { return t.claims, nil }

func (t tracker) Get(namespace, name string) (*resourceapi.ResourceClaim, error) {
	for _, claim := range t.claims {
		if claim.Namespace == namespace && claim.Name == name {
			return claim, nil
		}
	}
	return nil, &assumecache.NotFoundError{TypeName: "ResourceClaim", ObjectKey: namespace + "/" + name}
}

func (t tracker) GetPendingAllocation(types.UID) *resourceapi.AllocationResult { return nil }

func (t tracker) GatherAllocatedState() (*structured.AllocatedState, error) {
	state := &structured.AllocatedState{
		AllocatedDevices: sets.New[structured.DeviceID](), AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](), AggregatedCapacity: structured.NewConsumedCapacityCollection(),
	}
	for _, claim := range t.claims {
		if claim.Status.Allocation == nil {
			continue
		}
		for _, result := range claim.Status.Allocation.Devices.Results {
			id := structured.MakeDeviceID(result.Driver, result.Pool, result.Device)
			switch {
			case ptr.Deref(result.AdminAccess, false):
			case result.ShareID == nil:
				state.AllocatedDevices.Insert(id)
			default:
				state.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(id, result.ShareID))
				state.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, result.ConsumedCapacity))
			}
		}
	}
	return state, nil
}

func selector(expression string) []resourceapi.DeviceSelector {
	return []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{Expression: expression}}}
}

func (g *generator) devices(w *world) devices {
	var d devices
	d.classes = []*resourceapi.DeviceClass{
		{ObjectMeta: metav1.ObjectMeta{Name: "any"}, Spec: resourceapi.DeviceClassSpec{Selectors: selector(`device.driver == "` + driver + `"`)}},
		{ObjectMeta: metav1.ObjectMeta{Name: "model-a"}, Spec: resourceapi.DeviceClassSpec{
			Selectors: selector(`device.attributes["` + driver + `"].model == "a"`), ExtendedResourceName: ptr.To("example.com/gpu"),
		}},
	}
	for _, node := range w.nodes {
		if g.chance(60) {
			d.slices = append(d.slices, g.slice(node.Name, func(s *resourceapi.ResourceSliceSpec) { s.NodeName = ptr.To(node.Name) }))
		}
	}
	if g.chance(40) {
		d.slices = append(d.slices, g.slice("network", func(s *resourceapi.ResourceSliceSpec) {
			if g.chance(30) {
				s.AllNodes = ptr.To(true)
				return
			}
			s.NodeSelector = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{g.nodeRequirement()}}}}
		}))
	}
	free := map[string]bool{}
	for i := range 6 {
		d.claims = append(d.claims, g.deviceClaim(i, &d, free))
	}
	return d
}

func (g *generator) slice(pool string, where func(*resourceapi.ResourceSliceSpec)) *resourceapi.ResourceSlice {
	slice := &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: "slice-" + pool}}
	slice.Spec = resourceapi.ResourceSliceSpec{Driver: driver, Pool: resourceapi.ResourcePool{Name: pool, Generation: 1, ResourceSliceCount: 1}}
	if g.chance(4) {
		slice.Spec.Pool.ResourceSliceCount = 2 // the other one is still missing
	}
	where(&slice.Spec)
	for i := range 1 + g.IntN(4) {
		one := resourceapi.Device{Name: fmt.Sprintf("device-%d", i), Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
			"model": {StringValue: ptr.To(pick(g, "a", "b"))}, "numa": {IntValue: ptr.To(int64(g.IntN(2)))},
		}, Capacity: map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{"memory": {Value: *resource.NewQuantity(int64(1+g.IntN(4))<<30, resource.BinarySI)}}}
		if g.chance(15) {
			one.Taints = []resourceapi.DeviceTaint{{Key: "sick", Value: pick(g, "x", "y"), Effect: pick(g, resourceapi.DeviceTaintEffectNoSchedule, resourceapi.DeviceTaintEffectNoExecute)}}
		}
		if g.chance(20) {
			one.AllowMultipleAllocations = ptr.To(true)
		}
		slice.Spec.Devices = append(slice.Spec.Devices, one)
	}
	return slice
}

func (g *generator) deviceClaim(i int, d *devices, taken map[string]bool) *resourceapi.ResourceClaim {
	claim := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace(), Name: fmt.Sprintf("devices-%d", i), ResourceVersion: "1"}}
	claim.UID = types.UID(claim.Name)
	for j := range 1 + g.IntN(2) {
		request := resourceapi.DeviceRequest{Name: fmt.Sprintf("r%d", j)}
		if g.chance(25) {
			for k := range 1 + g.IntN(3) {
				exact := g.exactly()
				request.FirstAvailable = append(request.FirstAvailable, resourceapi.DeviceSubRequest{
					Name: fmt.Sprintf("s%d", k), DeviceClassName: exact.DeviceClassName, Selectors: exact.Selectors, AllocationMode: exact.AllocationMode,
					Count: exact.Count, Tolerations: exact.Tolerations, Capacity: exact.Capacity,
				})
			}
		} else {
			request.Exactly = g.exactly()
		}
		claim.Spec.Devices.Requests = append(claim.Spec.Devices.Requests, request)
	}
	if g.chance(15) {
		claim.Spec.Devices.Constraints = []resourceapi.DeviceConstraint{{MatchAttribute: ptr.To(resourceapi.FullyQualifiedName(driver + "/" + pick(g, "model", "numa")))}}
	}
	if len(d.slices) > 0 && g.chance(40) {
		g.allocated(claim, pick(g, d.slices...), taken)
	}
	return claim
}

// allocated gives a claim a device that no other has.
func (g *generator) allocated(claim *resourceapi.ResourceClaim, slice *resourceapi.ResourceSlice, taken map[string]bool) {
	one := pick(g, slice.Spec.Devices...)
	key := slice.Name + "/" + one.Name
	if taken[key] && one.AllowMultipleAllocations == nil {
		return
	}
	taken[key] = true
	claim.Finalizers = []string{resourceapi.Finalizer}
	result := resourceapi.DeviceRequestAllocationResult{Request: claim.Spec.Devices.Requests[0].Name, Driver: driver, Pool: slice.Spec.Pool.Name, Device: one.Name}
	if sub := claim.Spec.Devices.Requests[0].FirstAvailable; len(sub) > 0 {
		result.Request += "/" + pick(g, sub...).Name
	}
	if one.AllowMultipleAllocations != nil {
		result.ShareID = ptr.To(types.UID(claim.Name))
		result.ConsumedCapacity = map[resourceapi.QualifiedName]resource.Quantity{"memory": resource.MustParse("1Gi")}
	}
	if g.chance(15) {
		result.BindingConditions, result.BindingFailureConditions = []string{"ready"}, []string{"broken"}
		if g.chance(70) {
			claim.Status.Devices = []resourceapi.AllocatedDeviceStatus{{Driver: driver, Pool: result.Pool, Device: result.Device, Conditions: []metav1.Condition{
				{Type: pick(g, "ready", "broken"), Status: metav1.ConditionTrue, Reason: "r"},
			}}}
		}
	}
	claim.Status.Allocation = &resourceapi.AllocationResult{
		Devices: resourceapi.DeviceAllocationResult{Results: []resourceapi.DeviceRequestAllocationResult{result}}, NodeSelector: slice.Spec.NodeSelector,
		AllocationTimestamp: &metav1.Time{Time: birth},
	}
	if slice.Spec.NodeName != nil {
		claim.Status.Allocation.NodeSelector = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
			{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{*slice.Spec.NodeName}},
		}}}}
	}
}

func (g *generator) exactly() *resourceapi.ExactDeviceRequest {
	request := &resourceapi.ExactDeviceRequest{DeviceClassName: pick(g, "any", "any", "model-a"), AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: int64(1 + g.IntN(2))}
	if g.chance(5) {
		request.DeviceClassName = "missing"
	}
	if g.chance(10) {
		request.AllocationMode, request.Count = resourceapi.DeviceAllocationModeAll, 0
	}
	if g.chance(30) {
		request.Selectors = selector(pick(g, `device.attributes["`+driver+`"].model == "b"`, `device.capacity["`+driver+`"].memory.compareTo(quantity("2Gi")) >= 0`))
	}
	if g.chance(20) {
		request.Tolerations = []resourceapi.DeviceToleration{{Key: "sick", Operator: pick(g, resourceapi.DeviceTolerationOpExists, resourceapi.DeviceTolerationOpEqual), Value: ""}}
	}
	if g.chance(15) {
		request.Capacity = &resourceapi.CapacityRequirements{Requests: map[resourceapi.QualifiedName]resource.Quantity{"memory": resource.MustParse("1Gi")}}
	}
	return request
}

// claim gives some pods claims, with or without devices.
func (g *generator) claim(pod *corev1.Pod, d *devices) {
	if !g.chance(30) {
		return
	}
	names := map[string]bool{}
	for range 1 + g.IntN(2) {
		claim := pick(g, d.claims...)
		pod.Namespace = claim.Namespace
		names[claim.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if g.chance(3) {
			name = "absent"
		}
		pod.Spec.ResourceClaims = append(pod.Spec.ResourceClaims, corev1.PodResourceClaim{Name: name, ResourceClaimName: ptr.To(name)})
	}
}
