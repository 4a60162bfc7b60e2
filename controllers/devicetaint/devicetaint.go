// Package devicetaint deletes pods that use devices with NoExecute taints which
// their claims don't tolerate, or no longer, and says in the status of
// DeviceTaintRules how far that is
// (https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/#device-taints-and-tolerations).
package devicetaint

import (
	"context"
	"errors"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	resourcelisters "k8s.io/client-go/listers/resource/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/owned"
	pods "github.com/howdah/howdah/controllers/pod"
	"github.com/howdah/howdah/controllers/reconcile"
)

// byPool finds slices and claims by the pools of their devices.
const byPool = "howdah.pool"

// A key is a pod that may have to go, or a rule whose status may have to change.
type key struct {
	pod  types.NamespacedName
	rule string
}

type controller struct {
	client  kubernetes.Interface
	pods    corelisters.PodLister
	claims  resourcelisters.ResourceClaimLister
	claimed cache.SharedIndexInformer
	slices  cache.SharedIndexInformer
	rules   resourcelisters.DeviceTaintRuleLister
	events  record.EventRecorder
	clock   clock.PassiveClock
	queue   *reconcile.Queue[key]

	sentences pods.Sentences

	mu      sync.Mutex
	evicted map[types.UID]int64 // pods deleted because of a rule, by its UID
}

// Setup is the device-taint-eviction-controller.
func Setup(workers int) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		register()
		api := c.Informers.Resource().V1()
		pods, claims, slices, rules := c.Informers.Core().V1().Pods(), api.ResourceClaims(), api.ResourceSlices(), api.DeviceTaintRules()
		x := &controller{
			client: c.Client, pods: pods.Lister(), claims: claims.Lister(), claimed: claims.Informer(), slices: slices.Informer(), rules: rules.Lister(),
			events: c.Recorder(names.DeviceTaintEvictionController), clock: c.Clock,
			evicted: map[types.UID]int64{},
		}
		if err := errors.Join(
			owned.AddIndex(claims.Informer(), byPool, claimPools),
			owned.AddIndex(slices.Informer(), byPool, func(object any) ([]string, error) {
				if slice, ok := object.(*resourceapi.ResourceSlice); ok {
					return []string{poolOf(slice)}, nil
				}
				return nil, nil
			}),
		); err != nil {
			return err
		}
		x.queue = reconcile.NewQueue(c, names.DeviceTaintEvictionController, workers, func(ctx context.Context, k key) error {
			if k.rule != "" {
				return x.syncRule(ctx, k.rule)
			}
			return x.syncPod(ctx, k.pod)
		})
		return errors.Join(
			c.Handle(pods.Informer(), reconcile.Events[*corev1.Pod]{Add: x.podChanged, Update: x.podUpdated, Delete: x.podGone}),
			c.Handle(claims.Informer(), reconcile.Events[*resourceapi.ResourceClaim]{Add: x.claimChanged, Update: x.claimUpdated, Delete: x.claimChanged}),
			c.Handle(slices.Informer(), reconcile.Events[*resourceapi.ResourceSlice]{Add: x.sliceChanged, Update: x.sliceUpdated, Delete: x.sliceChanged}),
			c.Handle(rules.Informer(), reconcile.Events[*resourceapi.DeviceTaintRule]{Add: x.ruleChanged, Update: x.ruleUpdated, Delete: x.ruleGone}),
		)
	}
}

func pool(driver, name string) string { return driver + "/" + name }

func poolOf(slice *resourceapi.ResourceSlice) string {
	return pool(slice.Spec.Driver, slice.Spec.Pool.Name)
}

// claimPools are the pools of the devices that a claim has.
func claimPools(object any) ([]string, error) {
	claim, ok := object.(*resourceapi.ResourceClaim)
	if !ok || claim.Status.Allocation == nil {
		return nil, nil
	}
	var pools []string
	for i := range claim.Status.Allocation.Devices.Results {
		result := &claim.Status.Allocation.Devices.Results[i]
		if name := pool(result.Driver, result.Pool); !slices.Contains(pools, name) {
			pools = append(pools, name)
		}
	}
	return pools, nil
}

func nameOf(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}

func (x *controller) podChanged(pod *corev1.Pod) {
	if pod.Spec.NodeName != "" && (len(pod.Spec.ResourceClaims) > 0 || pod.Status.ExtendedResourceClaimStatus != nil) {
		x.queue.Add(key{pod: nameOf(pod)})
	}
}

func (x *controller) podUpdated(before, after *corev1.Pod) {
	if before.Spec.NodeName != after.Spec.NodeName ||
		!resourceclaim.PodStatusEqual(before.Status.ResourceClaimStatuses, after.Status.ResourceClaimStatuses) ||
		!resourceclaim.PodExtendedStatusEqual(before.Status.ExtendedResourceClaimStatus, after.Status.ExtendedResourceClaimStatus) {
		x.podChanged(after)
	}
}

func (x *controller) podGone(pod *corev1.Pod) { x.sentences.Lift(nameOf(pod)) }

// claimChanged has the pods looked at that reserved the claim.
func (x *controller) claimChanged(claim *resourceapi.ResourceClaim) {
	if claim.Status.Allocation == nil {
		return
	}
	for _, consumer := range claim.Status.ReservedFor {
		if consumer.APIGroup == corev1.GroupName && consumer.Resource == "pods" {
			x.queue.Add(key{pod: types.NamespacedName{Namespace: claim.Namespace, Name: consumer.Name}})
		}
	}
}

func (x *controller) claimUpdated(before, after *resourceapi.ResourceClaim) {
	if before.UID == after.UID && slices.Equal(before.Status.ReservedFor, after.Status.ReservedFor) &&
		(before.Status.Allocation == nil) == (after.Status.Allocation == nil) {
		return
	}
	x.claimChanged(before)
	x.claimChanged(after)
}

func (x *controller) sliceChanged(slice *resourceapi.ResourceSlice) {
	if x.tainted(poolOf(slice)) || evicts(slice) {
		x.poolChanged(poolOf(slice))
	}
}

func (x *controller) sliceUpdated(before, after *resourceapi.ResourceSlice) {
	if !equality.Semantic.DeepEqual(before.Spec, after.Spec) && (evicts(before) || evicts(after) || x.tainted(poolOf(after))) {
		x.poolChanged(poolOf(before))
		x.poolChanged(poolOf(after))
	}
}

func evicts(slice *resourceapi.ResourceSlice) bool {
	return slices.ContainsFunc(slice.Spec.Devices, func(d resourceapi.Device) bool {
		return slices.ContainsFunc(d.Taints, func(t resourceapi.DeviceTaint) bool { return t.Effect == resourceapi.DeviceTaintEffectNoExecute })
	})
}

// tainted tells whether a pool has a device that pods are evicted from.
func (x *controller) tainted(pool string) bool { return slices.ContainsFunc(x.slicesOf(pool), evicts) }

func (x *controller) slicesOf(pool string) []*resourceapi.ResourceSlice {
	found, err := owned.Indexed[*resourceapi.ResourceSlice](x.slices, byPool, pool)
	if err != nil {
		return nil // the index is there
	}
	return found
}

func (x *controller) poolChanged(pool string) {
	claims, err := owned.Indexed[*resourceapi.ResourceClaim](x.claimed, byPool, pool)
	if err != nil {
		return // the index is there
	}
	for _, claim := range claims {
		x.claimChanged(claim)
	}
}
