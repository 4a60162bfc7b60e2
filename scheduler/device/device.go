// Package device owns placement by devices, with the results of kube-scheduler's
// plugin DynamicResources
// (https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/).
// Which devices suit a claim is decided by upstream's allocator,
// k8s.io/dynamic-resource-allocation/structured.
//
// What a decision takes, devices for a claim, is taken in memory at once and
// written to the claim when the pod is bound. It stays taken until it is certain
// that the claim does not have it: a write whose answer is lost is looked into.
// No device is so given to two claims.
package device

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	resourcelisters "k8s.io/client-go/listers/resource/v1"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/deviceclass/extendedresourcecache"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/scheduler/placement"
)

// features are those of Kubernetes v1.37 that are on by default.
var features = structured.Features{
	AdminAccess: true, PrioritizedList: true, PartitionableDevices: true, DeviceTaints: true, DeviceBindingAndStatus: true,
	ConsumableCapacity: true, FractionalCapacityRange: true,
}

// keptSelectors is how many compiled selectors of devices are remembered.
const keptSelectors = 100

// Slices know what devices there are, with the taints that DeviceTaintRules
// give them.
type Slices interface {
	ListPatchedResourceSlices() ([]*resourceapi.ResourceSlice, error)
}

// Options are what [Devices] work with.
type Options struct {
	Client  kubernetes.Interface
	Classes resourcelisters.DeviceClassLister
	Slices  Slices
	Clock   clock.Clock
	// Leads tells whether this process may write now.
	Leads func() bool
	// Waits is told of pods that wait for their devices to be made ready.
	Waits   func(pod *corev1.Pod, node string)
	Metrics *Metrics
}

// Devices are what is known of claims and of the devices that they have.
type Devices struct {
	Options
	compiled *cel.Cache
	extended *extendedresourcecache.ExtendedResourceCache
	classes  classes

	mu      sync.Mutex
	claims  map[string]*resourceapi.ResourceClaim               // by namespace/name; the newest that is known
	special map[types.UID]map[string]*resourceapi.ResourceClaim // those for pods' extended resources, by pod
	flights map[types.UID]*resourceapi.ResourceClaim            // claims with the devices that are on their way to them
	ledger  ledger
	suited  map[suit][]bool // by device of the slice
}

// New knows of no claims and classes; [Devices.ClaimChanged] and
// [Devices.ClassChanged] tell it of them.
func New(o Options) *Devices {
	if o.Metrics == nil {
		o.Metrics = NewMetrics()
	}
	return &Devices{
		Options: o, compiled: cel.NewCache(keptSelectors, cel.Features{EnableConsumableCapacity: true}),
		extended: extendedresourcecache.NewExtendedResourceCache(klog.Background()), classes: classes{o.Classes},
		claims: map[string]*resourceapi.ResourceClaim{}, special: map[types.UID]map[string]*resourceapi.ResourceClaim{}, flights: map[types.UID]*resourceapi.ResourceClaim{}, ledger: newLedger(), suited: map[suit][]bool{},
	}
}

// Args are DynamicResourcesArgs.
type Args struct {
	FilterTimeout  time.Duration // of looking for devices on one node; 0: none
	BindingTimeout time.Duration // of making devices ready
}

// DefaultArgs are kube-scheduler's.
func DefaultArgs() Args {
	return Args{FilterTimeout: 10 * time.Second, BindingTimeout: 10 * time.Minute}
}

// Plugin is the plugin for one profile.
func (d *Devices) Plugin(profile string, args Args) placement.Plugin {
	return &plugin{Devices: d, profile: profile, args: args}
}

// Stands tells whether devices may stand for an extended resource.
func (d *Devices) Stands(name corev1.ResourceName) bool {
	return d.extended.GetDeviceClass(name) != nil
}

// ClassChanged tells of a class before and after; one of the two may be nil.
func (d *Devices) ClassChanged(old, new *resourceapi.DeviceClass) {
	switch {
	case new == nil:
		d.extended.OnDelete(old)
	case old == nil:
		d.extended.OnAdd(new, false)
	default:
		d.extended.OnUpdate(old, new)
	}
}
