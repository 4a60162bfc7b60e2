// Package disruption reckons how many pods of a PodDisruptionBudget may be
// evicted, which the eviction subresource goes by
// (https://kubernetes.io/docs/concepts/workloads/pods/disruptions/).
package disruption

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	policylisters "k8s.io/client-go/listers/policy/v1"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/pod"
	"github.com/howdah/howdah/controllers/reconcile"
)

type controller struct {
	client  kubernetes.Interface
	clock   clock.PassiveClock
	events  record.EventRecorder
	lister  policylisters.PodDisruptionBudgetLister
	budgets cache.SharedIndexInformer
	pods    corelisters.PodLister
	scales  scales
	queue   *reconcile.Queue[cache.ObjectName]
	stale   *reconcile.Queue[cache.ObjectName] // pods that say they are to be disrupted
	tracker freshness.Tracker
}

// Setup is the disruption-controller.
func Setup(workers int) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		budgets, pods := c.Informers.Policy().V1().PodDisruptionBudgets(), c.Informers.Core().V1().Pods()
		apps, core := c.Informers.Apps().V1(), c.Informers.Core().V1()
		known := memory.NewMemCacheClient(c.Client.Discovery())
		mapper := restmapper.NewDeferredDiscoveryRESTMapper(known)
		scaleClient, err := scale.NewForConfig(c.Config, mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(known))
		if err != nil {
			return fmt.Errorf("make a client for scales: %w", err)
		}
		x := &controller{
			client: c.Client, clock: c.Clock, events: c.Recorder("controllermanager"),
			lister: budgets.Lister(), budgets: budgets.Informer(), pods: pods.Lister(),
			scales: scales{
				deployments: apps.Deployments().Lister(), replicaSets: apps.ReplicaSets().Lister(), statefulSets: apps.StatefulSets().Lister(),
				controllers: core.ReplicationControllers().Lister(), mapper: mapper, discovery: known, client: scaleClient,
			},
		}
		x.queue = reconcile.NewQueue(c, "disruption", workers, x.sync)
		x.stale = reconcile.NewQueue(c, "stale_pod_disruption", 1, x.syncStale)
		return errors.Join(
			c.Handle(x.budgets, reconcile.Each(func(b *policyv1.PodDisruptionBudget) { x.queue.Add(cache.MetaObjectToName(b)) })),
			c.Handle(pods.Informer(), reconcile.Events[*corev1.Pod]{
				Add: func(p *corev1.Pod) { x.see(p); x.tell(p) },
				Update: func(before, p *corev1.Pod) {
					if !equality.Semantic.DeepEqual(before.Labels, p.Labels) {
						x.tell(before)
					}
					x.see(p)
					x.tell(p)
				},
				Delete: x.tell,
			}),
			c.Need(apps.Deployments().Informer(), apps.ReplicaSets().Informer(), apps.StatefulSets().Informer(), core.ReplicationControllers().Informer()),
		)
	}
}

// tell enqueues the budgets that select a pod.
func (x *controller) tell(p *corev1.Pod) {
	budgets, err := x.lister.PodDisruptionBudgets(p.Namespace).List(labels.Everything())
	if err != nil {
		return // informers' listers don't fail
	}
	for _, b := range budgets {
		if selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector); err == nil && selector.Matches(labels.Set(p.Labels)) {
			x.queue.Add(cache.MetaObjectToName(b))
		}
	}
}

func (x *controller) see(p *corev1.Pod) {
	if wait, stale := staleFor(p, x.clock.Now()); stale {
		x.stale.AddAfter(cache.MetaObjectToName(p), wait)
	}
}

func (x *controller) sync(ctx context.Context, key cache.ObjectName) error {
	pdb, err := x.lister.PodDisruptionBudgets(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		x.tracker.Forget(key)
		return nil
	}
	if err != nil {
		return err
	}
	if !x.tracker.Fresh(key) {
		x.queue.AddAfter(key, freshness.Recheck)
		return nil
	}
	err = x.reckon(ctx, pdb)
	if err == nil || apierrors.IsConflict(err) {
		return err
	}
	// What can't be reckoned must not let anything be evicted.
	safe := pdb.Status.DeepCopy()
	safe.DisruptionsAllowed = 0
	meta.SetStatusCondition(&safe.Conditions, metav1.Condition{
		Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.SyncFailedReason,
		Message: err.Error(), ObservedGeneration: safe.ObservedGeneration,
	})
	return errors.Join(err, x.write(ctx, pdb, *safe))
}

func (x *controller) reckon(ctx context.Context, pdb *policyv1.PodDisruptionBudget) error {
	selector, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector)
	if err != nil {
		return err
	}
	pods, err := x.pods.Pods(pdb.Namespace).List(selector)
	if err != nil {
		return err
	}
	if len(pods) == 0 {
		x.events.Event(pdb, corev1.EventTypeNormal, "NoPods", "No matching pods found")
	}
	expected := int32(len(pods))
	if byScale(&pdb.Spec) {
		var unmanaged []string
		if expected, unmanaged, err = x.scales.expected(ctx, pods); err != nil {
			x.events.Eventf(pdb, corev1.EventTypeWarning, "CalculateExpectedPodCountFailed", "Failed to calculate the number of expected pods: %v", err)
			return err
		}
		if len(unmanaged) > 0 {
			x.events.Eventf(pdb, corev1.EventTypeWarning, "UnmanagedPods", "Pods selected by this PodDisruptionBudget (selector: %v) were found "+
				"to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. "+
				"To account for these pods please set \".spec.minAvailable\" "+
				"field of the PDB to an integer value.", pdb.Spec.Selector)
		}
	}
	want, err := desired(&pdb.Spec, expected)
	if err != nil {
		return err
	}
	now := x.clock.Now()
	pending, late, next := disrupted(pods, pdb.Status.DisruptedPods, now)
	for _, p := range late {
		x.events.Eventf(p, corev1.EventTypeWarning, "NotDeleted", "Pod was expected by PDB %s/%s to be deleted but it wasn't", pdb.Namespace, pdb.Name)
	}
	if !next.IsZero() {
		x.queue.AddAfter(cache.MetaObjectToName(pdb), next.Sub(now))
	}
	return x.write(ctx, pdb, status(pdb, pods, expected, want, pending))
}

func (x *controller) write(ctx context.Context, pdb *policyv1.PodDisruptionBudget, status policyv1.PodDisruptionBudgetStatus) error {
	if equality.Semantic.DeepEqual(pdb.Status, status) {
		return nil
	}
	changed := pdb.DeepCopy()
	changed.Status = status
	written, err := x.client.PolicyV1().PodDisruptionBudgets(pdb.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	x.tracker.Wrote(cache.MetaObjectToName(pdb), x.budgets.GetStore(), written)
	return nil
}

// syncStale takes back what a pod says that was to be disrupted and wasn't.
func (x *controller) syncStale(ctx context.Context, key cache.ObjectName) error {
	p, err := x.pods.Pods(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	now := x.clock.Now()
	wait, stale := staleFor(p, now)
	switch {
	case !stale:
		return nil
	case wait > 0:
		x.stale.AddAfter(key, wait)
		return nil
	}
	changed := p.DeepCopy()
	*pod.Condition(changed, corev1.DisruptionTarget) = corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(now)}
	_, err = x.client.CoreV1().Pods(p.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
