// Package replicaset keeps as many pods running as ReplicaSets and
// ReplicationControllers ask for
// (https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/). One
// engine does it for both kinds.
package replicaset

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/owned"
	"github.com/howdah/howdah/controllers/pod"
	"github.com/howdah/howdah/controllers/reconcile"
)

type engine struct {
	kind     kind
	clock    clock.PassiveClock
	pods     *pod.Control
	pace     owned.Pace
	lister   corelisters.PodLister
	informer cache.SharedIndexInformer // of the sets
	queue    *reconcile.Queue[cache.ObjectName]
}

// Setup is the replicaset-controller.
func Setup(workers int) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		sets := c.Informers.Apps().V1().ReplicaSets()
		if err := owned.Index(sets.Informer()); err != nil {
			return err
		}
		k := replicaSets{client: c.Client, lister: sets.Lister(), informer: sets.Informer()}
		return setup(c, k, sets.Informer(), "replicaset", "replicaset-controller", workers)
	}
}

// SetupReplication is the replicationcontroller-controller.
func SetupReplication(workers int) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		sets := c.Informers.Core().V1().ReplicationControllers()
		k := replicationControllers{client: c.Client, lister: sets.Lister()}
		return setup(c, k, sets.Informer(), "replicationmanager", "replication-controller", workers)
	}
}

func setup(c *reconcile.Controller, k kind, sets cache.SharedIndexInformer, queue, component string, workers int) error {
	register()
	control, err := pod.NewControl(c, component)
	if err != nil {
		return err
	}
	e := &engine{kind: k, clock: c.Clock, pods: control, lister: c.Informers.Core().V1().Pods().Lister(), informer: sets}
	e.queue = reconcile.NewQueue(c, queue, workers, e.sync)
	if err := c.Handle(sets, reconcile.Each(func(s metav1.Object) { e.queue.Add(cache.MetaObjectToName(s)) })); err != nil {
		return err
	}
	return c.Handle(control.Informer, owned.Watch[*set, *corev1.Pod]{
		Kind: k.gvk().Kind, Get: k.get, List: k.list,
		Selector: func(s *set) (labels.Selector, error) { return s.selector, nil },
		Enqueue:  func(name cache.ObjectName) { e.queue.Add(name) },
	}.Handler())
}

func (e *engine) sync(ctx context.Context, key cache.ObjectName) error {
	s, err := e.kind.get(key.Namespace, key.Name)
	if apierrors.IsNotFound(err) {
		e.pods.Tracker.Forget(key)
		e.pace.Forget(key)
		return nil
	}
	if err != nil {
		return err
	}
	if !e.pods.Tracker.Fresh(key) {
		e.queue.AddAfter(key, freshness.Recheck)
		return nil
	}
	active, terminating, err := e.own(ctx, s)
	if err != nil {
		return err
	}
	var failure error
	if s.GetDeletionTimestamp() == nil {
		failure = e.scale(ctx, s, active)
	}
	now := e.clock.Now()
	if err := e.updateStatus(ctx, s, status(s, active, terminating, failure, now)); err != nil {
		return err
	}
	if s.minReady > 0 {
		if next := pod.NextAvailable(active, s.minReady, now); next > 0 {
			e.queue.AddAfter(key, next)
		}
	}
	return failure
}

// own returns the set's pods that run or will, and how many of it are ending.
func (e *engine) own(ctx context.Context, s *set) (active []*corev1.Pod, terminating int, err error) {
	candidates, err := e.pods.Candidates(s)
	if err != nil {
		return nil, 0, err
	}
	var alive []*corev1.Pod
	for _, p := range candidates {
		switch {
		case pod.Active(p):
			alive = append(alive, p)
		case pod.Terminating(p) && metav1.IsControlledBy(p, s) && s.selector.Matches(labels.Set(p.Labels)):
			terminating++
		}
	}
	active, err = e.pods.Claim(s, e.kind.gvk(), s.selector, func(ctx context.Context) (metav1.Object, error) {
		return e.kind.fresh(ctx, s.GetNamespace(), s.GetName())
	}).All(ctx, alive)
	return active, terminating, err
}

func (e *engine) scale(ctx context.Context, s *set, active []*corev1.Pod) error {
	count := missing(int(s.replicas), len(active))
	switch {
	case count == 0:
		return nil
	case count > 0:
		ref := metav1.NewControllerRef(s, e.kind.gvk())
		copies, err := e.pods.Copies(s.Owner, pod.New(s.template, s.GetName(), ref))
		if err != nil {
			return err
		}
		key := cache.MetaObjectToName(s)
		called, err := owned.SlowStart(e.pace.First(key), count, func(int) error { return copies.Create(ctx) })
		e.pace.Note(key, called, err, count == burst)
		return err
	}
	now := e.clock.Now()
	doomed := excess(active, e.relatives(s), -count, now)
	for _, ratio := range ratios(active, doomed, now) {
		ages.Observe(ratio)
	}
	return owned.Together(len(doomed), func(i int) error { return e.pods.Delete(ctx, s.Owner, doomed[i]) })
}

func (e *engine) relatives(s *set) []*corev1.Pod {
	seen := map[*corev1.Pod]bool{}
	var relatives []*corev1.Pod
	for _, selector := range e.kind.related(s) {
		pods, err := e.lister.Pods(s.GetNamespace()).List(selector)
		if err != nil {
			continue // informers' listers don't fail
		}
		for _, p := range pods {
			if !seen[p] {
				seen[p] = true
				relatives = append(relatives, p)
			}
		}
	}
	return relatives
}

// updateStatus tries twice: whoever scales a set meanwhile must not make the
// status wait for the next sync.
func (e *engine) updateStatus(ctx context.Context, s *set, status appsv1.ReplicaSetStatus) error {
	if s.says(status) {
		return nil
	}
	written, err := e.kind.updateStatus(ctx, s, status)
	if apierrors.IsConflict(err) {
		current, getErr := e.kind.fresh(ctx, s.GetNamespace(), s.GetName())
		if getErr != nil || current.GetUID() != s.GetUID() {
			return getErr
		}
		written, err = e.kind.updateStatus(ctx, current, status)
	}
	if err != nil {
		return err
	}
	e.pods.Tracker.Wrote(cache.MetaObjectToName(s), e.informer.GetStore(), written)
	return nil
}

func byDeployment(informer cache.SharedIndexInformer, ref *metav1.OwnerReference) ([]*appsv1.ReplicaSet, error) {
	return owned.By[*appsv1.ReplicaSet](informer, &metav1.ObjectMeta{UID: ref.UID})
}
