// Package deployment rolls Deployments from one template to the next by growing
// and shrinking ReplicaSets
// (https://kubernetes.io/docs/concepts/workloads/controllers/deployment/).
//
// What to do is decided by functions of the Deployment and its ReplicaSets alone
// (sizes.go, status.go, revision.go); the rest here does it. A Deployment isn't
// looked at before the informers have what was last written for it.
package deployment

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	appslisters "k8s.io/client-go/listers/apps/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/owned"
	"github.com/howdah/howdah/controllers/reconcile"
)

type controller struct {
	client            kubernetes.Interface
	clock             clock.PassiveClock
	events            record.EventRecorder
	lister            appslisters.DeploymentLister
	setLister         appslisters.ReplicaSetLister
	deployments, sets cache.SharedIndexInformer
	pods              cache.SharedIndexInformer
	queue             *reconcile.Queue[cache.ObjectName]
	tracker           freshness.Tracker
}

// Setup is the deployment-controller.
func Setup(workers int) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		deployments, sets := c.Informers.Apps().V1().Deployments(), c.Informers.Apps().V1().ReplicaSets()
		x := &controller{
			client: c.Client, clock: c.Clock, events: c.Recorder("deployment-controller"),
			lister: deployments.Lister(), setLister: sets.Lister(),
			deployments: deployments.Informer(), sets: sets.Informer(), pods: c.Informers.Core().V1().Pods().Informer(),
		}
		for _, informer := range []cache.SharedIndexInformer{x.sets, x.pods} {
			if err := owned.Index(informer); err != nil {
				return err
			}
		}
		x.queue = reconcile.NewQueue(c, "deployment", workers, x.sync)
		enqueue := func(d *appsv1.Deployment) { x.queue.Add(cache.MetaObjectToName(d)) }
		if err := c.Handle(x.deployments, reconcile.Each(enqueue)); err != nil {
			return err
		}
		if err := c.Handle(x.pods, reconcile.Events[*corev1.Pod]{Delete: x.podDeleted}); err != nil {
			return err
		}
		return c.Handle(x.sets, owned.Watch[*appsv1.Deployment, *appsv1.ReplicaSet]{
			Kind: deploymentKind.Kind,
			Get:  x.get,
			List: func(namespace string) ([]*appsv1.Deployment, error) {
				return x.lister.Deployments(namespace).List(labels.Everything())
			},
			Selector: func(d *appsv1.Deployment) (labels.Selector, error) {
				return metav1.LabelSelectorAsSelector(d.Spec.Selector)
			},
			Enqueue: func(name cache.ObjectName) { x.queue.Add(name) },
		}.Handler())
	}
}

func (x *controller) get(namespace, name string) (*appsv1.Deployment, error) {
	return x.lister.Deployments(namespace).Get(name)
}

// podDeleted tells a Deployment that is waiting for the last of its old pods,
// whose ReplicaSet doesn't count them while they end.
func (x *controller) podDeleted(pod *corev1.Pod) {
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil || ref.Kind != "ReplicaSet" {
		return
	}
	set, err := x.setLister.ReplicaSets(pod.Namespace).Get(ref.Name)
	if err != nil || set.UID != ref.UID {
		return
	}
	if ref = metav1.GetControllerOfNoCopy(set); ref == nil || ref.Kind != deploymentKind.Kind {
		return
	}
	if d, err := x.get(set.Namespace, ref.Name); err == nil && d.UID == ref.UID && d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		x.queue.Add(cache.MetaObjectToName(d))
	}
}

func (x *controller) sync(ctx context.Context, key cache.ObjectName) error {
	cached, err := x.get(key.Namespace, key.Name)
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
	if err := x.reconcile(ctx, cached.DeepCopy()); err != nil && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return err
	}
	return nil
}

func (x *controller) reconcile(ctx context.Context, d *appsv1.Deployment) error {
	if equality.Semantic.DeepEqual(d.Spec.Selector, &metav1.LabelSelector{}) {
		x.events.Event(d, corev1.EventTypeWarning, "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required.")
		if d.Status.ObservedGeneration >= d.Generation {
			return nil
		}
		d.Status.ObservedGeneration = d.Generation
		return x.writeStatus(ctx, d)
	}
	sets, err := x.claim(ctx, d)
	if err != nil {
		return err
	}
	if d.DeletionTimestamp == nil {
		if err := x.notePause(ctx, d); err != nil {
			return err
		}
	}
	revision, asked := rollbackTo(d)
	switch {
	case d.DeletionTimestamp != nil:
		r, err := x.rollout(ctx, d, sets)
		if err != nil {
			return err
		}
		return r.settle(ctx)
	case d.Spec.Paused:
	case asked:
		return x.rollback(ctx, d, sets, revision)
	case !scaled(d, sets):
		r, err := x.rollout(ctx, d, sets)
		if err != nil {
			return err
		}
		if rolling(d) {
			return r.roll(ctx)
		}
		return r.recreate(ctx)
	}
	r, err := x.rollout(ctx, d, sets)
	if err != nil {
		return err
	}
	return r.scale(ctx)
}

// claim returns the Deployment's ReplicaSets.
func (x *controller) claim(ctx context.Context, d *appsv1.Deployment) ([]*appsv1.ReplicaSet, error) {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("deployment %s/%s has invalid label selector: %w", d.Namespace, d.Name, err)
	}
	sets, err := owned.By[*appsv1.ReplicaSet](x.sets, d)
	if err != nil {
		return nil, err
	}
	orphans, err := owned.Orphans[*appsv1.ReplicaSet](x.sets, d.Namespace)
	if err != nil {
		return nil, err
	}
	claim := owned.Claim[*appsv1.ReplicaSet]{
		Owner: d, Kind: deploymentKind, Selector: selector,
		Recheck: owned.Uncached(d.Name, x.client.AppsV1().Deployments(d.Namespace).Get),
		Patch: func(ctx context.Context, set *appsv1.ReplicaSet, kind types.PatchType, patch []byte) error {
			patched, err := x.client.AppsV1().ReplicaSets(set.Namespace).Patch(ctx, set.Name, kind, patch, metav1.PatchOptions{})
			if err == nil {
				x.wrote(d, x.sets, patched)
			}
			return err
		},
	}
	return claim.All(ctx, append(sets, orphans...))
}

// notePause keeps the progress deadline from running while a Deployment is
// paused.
func (x *controller) notePause(ctx context.Context, d *appsv1.Deployment) error {
	current := conditionOf(&d.Status, appsv1.DeploymentProgressing)
	if !hasDeadline(d) || current != nil && current.Reason == reasonTimedOut {
		return nil
	}
	noted := current != nil && current.Reason == reasonPaused
	reason, message := reasonPaused, "Deployment is paused"
	if !d.Spec.Paused {
		reason, message = reasonResumed, "Deployment is resumed"
	}
	if d.Spec.Paused == noted {
		return nil
	}
	setCondition(&d.Status, condition(appsv1.DeploymentProgressing, corev1.ConditionUnknown, reason, message, x.clock.Now()))
	return x.writeStatus(ctx, d)
}

// writeStatus writes the status, and the revision annotation with it. d can be
// written again afterwards.
func (x *controller) writeStatus(ctx context.Context, d *appsv1.Deployment) error {
	written, err := x.client.AppsV1().Deployments(d.Namespace).UpdateStatus(ctx, d, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	d.ResourceVersion = written.ResourceVersion
	x.wrote(d, x.deployments, written)
	return nil
}

func (x *controller) wrote(d *appsv1.Deployment, informer cache.SharedIndexInformer, written metav1.Object) {
	x.tracker.Wrote(cache.MetaObjectToName(d), informer.GetStore(), written)
}
