// Package daemonset runs a pod on every node that a DaemonSet is for
// (https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/). Which
// nodes these are is in nodes.go, what to do with the pods in place.go: functions
// of what there is.
package daemonset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/owned"
	"github.com/howdah/howdah/controllers/pod"
	"github.com/howdah/howdah/controllers/reconcile"
	"github.com/howdah/howdah/controllers/revision"
)

const (
	// burst is the most pods that one sync creates, and deletes.
	burst = 250
	// Pauses before a failed pod is replaced.
	firstPause, lastPause = time.Second, 15 * time.Minute
)

var daemonSetKind = appsv1.SchemeGroupVersion.WithKind("DaemonSet")

type controller struct {
	client  kubernetes.Interface
	clock   clock.PassiveClock
	lister  appslisters.DaemonSetLister
	nodes   corelisters.NodeLister
	sets    cache.SharedIndexInformer
	pods    *pod.Control
	history *revision.History
	backoff *flowcontrol.Backoff
	queue   *reconcile.Queue[cache.ObjectName]
}

// Setup is the daemonset-controller.
func Setup(workers int) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		sets, nodes, revisions := c.Informers.Apps().V1().DaemonSets(), c.Informers.Core().V1().Nodes(), c.Informers.Apps().V1().ControllerRevisions()
		control, err := pod.NewControl(c, "daemonset-controller")
		if err != nil {
			return err
		}
		if err := owned.Index(revisions.Informer()); err != nil {
			return err
		}
		x := &controller{
			client: c.Client, clock: c.Clock, lister: sets.Lister(), nodes: nodes.Lister(), sets: sets.Informer(), pods: control,
			history: &revision.History{Client: c.Client, Informer: revisions.Informer(), Tracker: control.Tracker},
			backoff: flowcontrol.NewBackOffWithJitter(firstPause, lastPause, 0),
		}
		x.backoff.Clock = c.Clock
		c.Every(lastPause, func(context.Context) { x.backoff.GC() })
		x.queue = reconcile.NewQueue(c, "daemonset", workers, x.sync)
		watch := owned.Watch[*appsv1.DaemonSet, *corev1.Pod]{
			Kind: daemonSetKind.Kind,
			Get: func(namespace, name string) (*appsv1.DaemonSet, error) {
				return x.lister.DaemonSets(namespace).Get(name)
			},
			List: func(namespace string) ([]*appsv1.DaemonSet, error) {
				return x.lister.DaemonSets(namespace).List(labels.Everything())
			},
			Selector: func(ds *appsv1.DaemonSet) (labels.Selector, error) {
				return metav1.LabelSelectorAsSelector(ds.Spec.Selector)
			},
			Enqueue: func(name cache.ObjectName) { x.queue.Add(name) },
		}
		// A second revision of equal content is only removed when the DaemonSet is
		// looked at for another reason; who makes one, as Kubernetes' own tests do,
		// expects to find both.
		revisionWatch := owned.Watch[*appsv1.DaemonSet, *appsv1.ControllerRevision]{
			Kind: watch.Kind, Get: watch.Get, List: watch.List, Selector: watch.Selector, Enqueue: watch.Enqueue, OwnAreNoNews: true,
		}
		return errors.Join(
			c.Handle(x.sets, reconcile.Each(func(ds *appsv1.DaemonSet) { x.queue.Add(cache.MetaObjectToName(ds)) })),
			c.Handle(control.Informer, watch.Handler()),
			c.Handle(revisions.Informer(), revisionWatch.Handler()),
			c.Handle(nodes.Informer(), reconcile.Events[*corev1.Node]{
				Add:    func(node *corev1.Node) { x.nodeChanged(nil, node) },
				Update: x.nodeChanged,
				Delete: func(node *corev1.Node) { x.nodeChanged(node, nil) },
			}),
		)
	}
}

// nodeChanged tells the DaemonSets to which a change of a node matters.
func (x *controller) nodeChanged(before, after *corev1.Node) {
	if before != nil && after != nil && maps.Equal(before.Labels, after.Labels) && equality.Semantic.DeepEqual(before.Spec.Taints, after.Spec.Taints) {
		return
	}
	sets, err := x.lister.List(labels.Everything())
	if err != nil {
		return // informers' listers don't fail
	}
	for _, ds := range sets {
		f := fitOf(ds)
		on := func(node *corev1.Node) [2]bool {
			if node == nil {
				return [2]bool{}
			}
			run, stay := f.on(node)
			return [2]bool{run, stay}
		}
		if on(before) != on(after) {
			x.queue.Add(cache.MetaObjectToName(ds))
		}
	}
}

func (x *controller) sync(ctx context.Context, key cache.ObjectName) error {
	ds, err := x.lister.DaemonSets(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		x.pods.Tracker.Forget(key)
		return nil
	}
	if err != nil {
		return err
	}
	if !x.pods.Tracker.Fresh(key) {
		x.queue.AddAfter(key, freshness.Recheck)
		return nil
	}
	if equality.Semantic.DeepEqual(ds.Spec.Selector, &metav1.LabelSelector{}) {
		x.pods.Events.Event(ds, corev1.EventTypeWarning, "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required.")
		return nil
	}
	if ds.DeletionTimestamp != nil {
		return nil
	}
	selector, err := metav1.LabelSelectorAsSelector(ds.Spec.Selector)
	if err != nil {
		return err
	}
	recheck := owned.Uncached(ds.Name, x.client.AppsV1().DaemonSets(ds.Namespace).Get)
	candidates, err := x.pods.Candidates(ds)
	if err != nil {
		return err
	}
	pods, err := x.pods.Claim(ds, daemonSetKind, selector, recheck).All(ctx, candidates)
	if err != nil {
		return err
	}
	revisions, err := x.history.Of(ctx, ds, daemonSetKind, selector, recheck)
	if err != nil {
		return err
	}
	present, old, err := x.present(ctx, ds, revisions, pods)
	if err != nil {
		return fmt.Errorf("failed to construct revisions of DaemonSet: %w", err)
	}
	nodes, err := x.nodes.List(labels.Everything())
	if err != nil {
		return err
	}
	l := newLook(ds, present.Labels[appsv1.DefaultDaemonSetUniqueLabelKey], nodes, pods, x.clock.Now())
	err = x.act(ctx, l)
	if err == nil {
		err = x.cleanUp(ctx, l, old, pods)
	}
	return errors.Join(err, x.report(ctx, l, pods))
}

// act places pods and, when all are placed, rolls them.
func (x *controller) act(ctx context.Context, l *look) error {
	key := cache.MetaObjectToName(l.ds)
	c := l.place(func(node string, _ *corev1.Pod) bool {
		id := fmt.Sprintf("%s/%d/%s", l.ds.UID, l.ds.Status.ObservedGeneration, node)
		if x.backoff.IsInBackOffSinceUpdate(id, l.now) {
			x.queue.AddAfter(key, x.backoff.Get(id))
			return true
		}
		x.backoff.Next(id, l.now)
		return false
	})
	for _, p := range c.failed {
		kind, reason, message := obituary(p, targetOf(p))
		x.pods.Events.Event(l.ds, kind, reason, message)
	}
	if c.nothing() && l.ds.Spec.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		c = l.roll()
	}
	ref := metav1.NewControllerRef(l.ds, daemonSetKind)
	_, err := owned.SlowStart(1, min(burst, len(c.create)), func(i int) error {
		return x.pods.Create(ctx, l.ds, pod.New(templateFor(l.ds, l.hash, c.create[i]), l.ds.Name, ref))
	})
	return errors.Join(err, owned.Together(min(burst, len(c.remove)), func(i int) error { return x.pods.Delete(ctx, l.ds, c.remove[i]) }))
}

func (x *controller) report(ctx context.Context, l *look, pods []*corev1.Pod) error {
	key := cache.MetaObjectToName(l.ds)
	if minReady := l.ds.Spec.MinReadySeconds; minReady > 0 {
		if next := pod.NextAvailable(pods, minReady, l.now); next > 0 {
			x.queue.AddAfter(key, next)
		}
	}
	status := l.status()
	if equality.Semantic.DeepEqual(status, l.ds.Status) {
		return nil
	}
	changed := l.ds.DeepCopy()
	changed.Status = status
	written, err := x.client.AppsV1().DaemonSets(changed.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("error storing status for daemon set %s: %w", key, err)
	}
	x.pods.Tracker.Wrote(key, x.sets.GetStore(), written)
	return nil
}
