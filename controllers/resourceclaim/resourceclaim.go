// Package resourceclaim makes ResourceClaims from the templates that pods name,
// takes reservations of pods that are over from claims, and takes the devices
// from claims that nobody has reserved any more
// (https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/).
package resourceclaim

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	resourcelisters "k8s.io/client-go/listers/resource/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/utils/lru"

	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/owned"
	"github.com/howdah/howdah/controllers/reconcile"
)

const (
	byClaim    = "howdah.resourceclaim"
	byTemplate = "howdah.resourceclaimtemplate"

	keptGone = 500 // pods that are known to be gone
)

// A key is a pod or a claim that is to be looked at.
type key struct {
	kind string
	cache.ObjectName
}

const (
	ofPod   = "pod"
	ofClaim = "claim"
)

type controller struct {
	client    kubernetes.Interface
	events    record.EventRecorder
	pods      corelisters.PodLister
	podCache  cache.SharedIndexInformer
	claims    resourcelisters.ResourceClaimLister
	claimed   cache.SharedIndexInformer
	templates resourcelisters.ResourceClaimTemplateLister
	queue     *reconcile.Queue[key]
	tracker   freshness.Tracker
	gone      *lru.Cache // UIDs of pods
}

// Setup is the resourceclaim-controller.
func Setup(workers int) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		pods, api := c.Informers.Core().V1().Pods(), c.Informers.Resource().V1()
		claims, templates := api.ResourceClaims(), api.ResourceClaimTemplates()
		x := &controller{
			client: c.Client, events: c.Recorder("resource_claim"), pods: pods.Lister(), podCache: pods.Informer(),
			claims: claims.Lister(), claimed: claims.Informer(), templates: templates.Lister(), gone: lru.New(keptGone),
		}
		c.OnEnd(measure(claims.Lister()))
		if err := errors.Join(
			owned.AddIndex(pods.Informer(), byClaim, index(claimNames)),
			owned.AddIndex(pods.Informer(), byTemplate, index(templateNames)),
			owned.Index(claims.Informer()),
		); err != nil {
			return err
		}
		x.queue = reconcile.NewQueue(c, "resource_claim", workers, func(ctx context.Context, k key) error {
			if k.kind == ofPod {
				return x.syncPod(ctx, k.ObjectName)
			}
			return x.syncClaim(ctx, k.ObjectName)
		})
		return errors.Join(
			c.Handle(pods.Informer(), reconcile.Events[*corev1.Pod]{
				Add: x.podChanged, Update: func(_, pod *corev1.Pod) { x.podChanged(pod) }, Delete: x.podGone,
			}),
			c.Handle(claims.Informer(), reconcile.Events[*resourceapi.ResourceClaim]{
				Add:    x.claimChanged,
				Update: func(_, claim *resourceapi.ResourceClaim) { x.claimChanged(claim) },
				Delete: x.tellPods,
			}),
			c.Handle(templates.Informer(), reconcile.Events[*resourceapi.ResourceClaimTemplate]{
				Add: x.templateChanged, Update: func(_, template *resourceapi.ResourceClaimTemplate) { x.templateChanged(template) },
			}),
		)
	}
}

// index finds pods by names in their namespace.
func index(names func(*corev1.Pod) []string) cache.IndexFunc {
	return func(object any) ([]string, error) {
		pod, ok := object.(*corev1.Pod)
		if !ok {
			return nil, nil
		}
		var keys []string
		for _, name := range names(pod) {
			keys = append(keys, pod.Namespace+"/"+name)
		}
		return keys, nil
	}
}

// claimNames are the claims of a pod that are known by name.
func claimNames(pod *corev1.Pod) []string {
	var names []string
	for i := range pod.Spec.ResourceClaims {
		if name, _, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i]); err == nil && name != nil {
			names = append(names, *name)
		}
	}
	return names
}

func templateNames(pod *corev1.Pod) []string {
	var names []string
	for i := range pod.Spec.ResourceClaims {
		if name := pod.Spec.ResourceClaims[i].ResourceClaimTemplateName; name != nil {
			names = append(names, *name)
		}
	}
	return names
}

func concerned(pod *corev1.Pod) bool {
	return len(pod.Spec.ResourceClaims) > 0 || pod.Status.ExtendedResourceClaimStatus != nil
}

// over tells whether a pod's containers don't run and never will.
func over(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed || pod.DeletionTimestamp != nil && pod.Spec.NodeName == ""
}

func (x *controller) podChanged(pod *corev1.Pod) {
	if !concerned(pod) {
		return
	}
	if over(pod) {
		x.release(pod)
	}
	if x.needsWork(pod) {
		x.queue.Add(key{ofPod, cache.MetaObjectToName(pod)})
	}
}

func (x *controller) podGone(pod *corev1.Pod) {
	if !concerned(pod) {
		return
	}
	x.gone.Add(pod.UID, nil)
	x.tracker.Forget(cache.MetaObjectToName(pod))
	x.release(pod)
}

// release has the claims of a pod looked at that doesn't need them any more.
func (x *controller) release(pod *corev1.Pod) {
	for name := range resourceclaim.PodClaims(pod) {
		x.queue.Add(key{ofClaim, cache.NewObjectName(pod.Namespace, name)})
	}
}

func (x *controller) claimChanged(claim *resourceapi.ResourceClaim) {
	x.queue.Add(key{ofClaim, cache.MetaObjectToName(claim)})
	x.tellPods(claim)
}

// tellPods has the pods looked at that name a claim.
func (x *controller) tellPods(claim *resourceapi.ResourceClaim) {
	x.tell(byClaim, cache.MetaObjectToName(claim))
}

func (x *controller) templateChanged(template *resourceapi.ResourceClaimTemplate) {
	x.tell(byTemplate, cache.MetaObjectToName(template))
}

func (x *controller) tell(index string, name cache.ObjectName) {
	pods, err := owned.Indexed[*corev1.Pod](x.podCache, index, name.String())
	if err != nil {
		return // the index is there
	}
	for _, pod := range pods {
		x.podChanged(pod)
	}
}

// needsWork tells whether a pod lacks a claim, or runs without having reserved
// one.
func (x *controller) needsWork(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil {
		return false
	}
	for i := range pod.Spec.ResourceClaims {
		one := &pod.Spec.ResourceClaims[i]
		name, made, err := resourceclaim.Name(pod, one)
		if err != nil {
			return true // it is not made yet
		}
		if name == nil {
			continue // none is needed
		}
		claim, err := x.claims.ResourceClaims(pod.Namespace).Get(*name)
		if err != nil {
			if one.ResourceClaimTemplateName != nil {
				return true
			}
			continue // the user's to make
		}
		if made && resourceclaim.IsForPod(pod, claim, false) != nil {
			continue // another one's, which is in the way
		}
		if pod.Spec.NodeName != "" && claim.Status.Allocation != nil && !resourceclaim.IsReservedForPod(pod, claim, false) {
			return true
		}
	}
	return false
}
