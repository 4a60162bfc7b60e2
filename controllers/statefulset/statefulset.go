// Package statefulset gives StatefulSets pods with stable names and storage, and
// changes them in order
// (https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/). What
// to do next is decided in decide.go, by functions of what there is.
package statefulset

import (
	"context"
	"errors"
	"fmt"
	"sync"

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
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"

	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/owned"
	"github.com/howdah/howdah/controllers/pod"
	"github.com/howdah/howdah/controllers/reconcile"
	"github.com/howdah/howdah/controllers/revision"
)

var statefulSetKind = appsv1.SchemeGroupVersion.WithKind("StatefulSet")

type controller struct {
	client  kubernetes.Interface
	clock   clock.PassiveClock
	lister  appslisters.StatefulSetLister
	claims  corelisters.PersistentVolumeClaimLister
	sets    cache.SharedIndexInformer
	pvcs    cache.SharedIndexInformer
	pods    *pod.Control
	history *revision.History
	queue   *reconcile.Queue[cache.ObjectName]

	// restored are the [restored] sets: comparing again costs more than the rest of a sync.
	restored *lru.Cache
}

// Setup is the statefulset-controller.
func Setup(workers int) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		sets, revisions, pvcs := c.Informers.Apps().V1().StatefulSets(), c.Informers.Apps().V1().ControllerRevisions(), c.Informers.Core().V1().PersistentVolumeClaims()
		control, err := pod.NewControl(c, "statefulset-controller")
		if err != nil {
			return err
		}
		if err := owned.Index(revisions.Informer()); err != nil {
			return err
		}
		x := &controller{
			client: c.Client, clock: c.Clock, lister: sets.Lister(), claims: pvcs.Lister(), sets: sets.Informer(), pvcs: pvcs.Informer(), pods: control,
			history:  &revision.History{Client: c.Client, Informer: revisions.Informer(), Tracker: control.Tracker},
			restored: lru.New(maxRestored),
		}
		x.queue = reconcile.NewQueue(c, "statefulset", workers, x.sync)
		watch := owned.Watch[*appsv1.StatefulSet, *corev1.Pod]{
			Kind: statefulSetKind.Kind,
			Get: func(namespace, name string) (*appsv1.StatefulSet, error) {
				return x.lister.StatefulSets(namespace).Get(name)
			},
			List: func(namespace string) ([]*appsv1.StatefulSet, error) {
				return x.lister.StatefulSets(namespace).List(labels.Everything())
			},
			Selector: func(set *appsv1.StatefulSet) (labels.Selector, error) {
				return metav1.LabelSelectorAsSelector(set.Spec.Selector)
			},
			Enqueue: func(name cache.ObjectName) { x.queue.Add(name) },
		}
		return errors.Join(
			c.Handle(x.sets, reconcile.Each(func(set *appsv1.StatefulSet) { x.queue.Add(cache.MetaObjectToName(set)) })),
			c.Handle(control.Informer, watch.Handler()),
			c.Need(revisions.Informer(), x.pvcs),
		)
	}
}

func (x *controller) sync(ctx context.Context, key cache.ObjectName) error {
	cached, err := x.lister.StatefulSets(key.Namespace).Get(key.Name)
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
	set := cached.DeepCopy()
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return err
	}
	recheck := owned.Uncached(set.Name, x.client.AppsV1().StatefulSets(set.Namespace).Get)
	candidates, err := x.pods.Candidates(set)
	if err != nil {
		return err
	}
	claim := x.pods.Claim(set, statefulSetKind, selector, recheck)
	claim.Matches = func(p *corev1.Pod) bool { return ordinalOf(set, p) >= 0 }
	pods, err := claim.All(ctx, candidates)
	if err != nil {
		return err
	}
	revisions, err := x.history.Of(ctx, set, statefulSetKind, selector, recheck)
	if err != nil {
		return err
	}
	current, update, err := x.revisions(ctx, set, revisions)
	if err != nil {
		return err
	}
	before, after, err := atBoth(set, current, update)
	if err != nil {
		return err
	}
	w := &work{controller: x, look: newLook(set, before, after, pods, x.clock.Now()), deleted: map[*corev1.Pod]bool{}}
	if set.DeletionTimestamp == nil {
		err = w.advance(ctx)
	}
	if minReady := set.Spec.MinReadySeconds; minReady > 0 {
		if next := pod.NextAvailable(pods, minReady, w.now); next > 0 {
			x.queue.AddAfter(key, next)
		}
	}
	return errors.Join(err, x.report(ctx, set, w.status(pods, w.made, w.deleted)), x.cleanUp(ctx, set, revisions, pods, current, update))
}

// work is a look that is acted on.
type work struct {
	*controller
	*look
	mu      sync.Mutex
	made    []*corev1.Pod
	deleted map[*corev1.Pod]bool
}

// advance goes as far as the set's order allows: replicas are made, then the
// condemned go, then pods are updated.
func (w *work) advance(ctx context.Context) error {
	steps := w.fill()
	do := func(i int) error { return w.do(ctx, steps[i]) }
	if w.ordered() {
		for i := range steps {
			if err := do(i); err != nil {
				return err
			}
		}
	} else if _, err := owned.SlowStart(1, len(steps), do); err != nil {
		return err
	}
	if !w.filled(steps) {
		return nil
	}
	for _, p := range w.condemned {
		if err := w.retain(ctx, p); err != nil {
			return err
		}
	}
	doomed := w.shrink()
	if err := owned.Together(len(doomed), func(i int) error { return w.remove(ctx, doomed[i]) }); err != nil {
		return err
	}
	if w.ordered() && len(w.condemned) > 0 {
		return nil
	}
	doomed = w.roll()
	return owned.Together(len(doomed), func(i int) error { return w.remove(ctx, doomed[i]) })
}

func (w *work) do(ctx context.Context, s step) error {
	switch s.act {
	case create:
		return w.create(ctx, s.pod)
	case remove:
		return w.remove(ctx, s.pod)
	case adjust:
		return w.adjust(ctx, s.pod)
	}
	return nil
}

func (w *work) create(ctx context.Context, p *corev1.Pod) error {
	ordinal := ordinalOf(w.set, p)
	if waits, err := w.awaitsClaims(p, ordinal); err != nil || waits {
		return err
	}
	if err := w.createClaims(ctx, p, ordinal); err != nil {
		w.tell("create", p, err)
		return err
	}
	made, err := w.client.CoreV1().Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{})
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil
	case apierrors.IsAlreadyExists(err):
		return err
	case err != nil:
		w.tell("create", p, err)
		return err
	}
	w.pods.Tracker.Wrote(cache.MetaObjectToName(w.set), w.pods.Informer.GetStore(), made)
	w.mu.Lock()
	w.made = append(w.made, made)
	w.mu.Unlock()
	w.tell("create", p, nil)
	return w.retain(ctx, made)
}

func (w *work) remove(ctx context.Context, p *corev1.Pod) error {
	err := w.client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(p.UID))})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		w.tell("delete", p, err)
		return err
	}
	w.pods.Tracker.Deleted(cache.MetaObjectToName(w.set), w.pods.Informer.GetStore(), p)
	w.mu.Lock()
	w.deleted[p] = true
	w.mu.Unlock()
	w.tell("delete", p, nil)
	return nil
}

// adjust repairs the identity of a pod that exists, and its claims.
func (w *work) adjust(ctx context.Context, p *corev1.Pod) error {
	ordinal := ordinalOf(w.set, p)
	if p.Status.Phase == corev1.PodPending || !mounted(w.set, p, ordinal) {
		if err := w.createClaims(ctx, p, ordinal); err != nil {
			return err
		}
	}
	if err := w.retain(ctx, p); err != nil {
		return err
	}
	if identified(p) && mounted(w.set, p, ordinal) {
		return nil
	}
	// The informer's pod lacks what only kubelets read.
	changed, err := w.client.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if changed.UID != p.UID {
		return fmt.Errorf("pod %s/%s is another one by now", p.Namespace, p.Name)
	}
	identify(w.set, changed, ordinal)
	mount(w.set, changed, ordinal)
	written, err := w.client.CoreV1().Pods(p.Namespace).Update(ctx, changed, metav1.UpdateOptions{})
	w.tell("update", p, err)
	if err != nil {
		return err
	}
	w.pods.Tracker.Wrote(cache.MetaObjectToName(w.set), w.pods.Informer.GetStore(), written)
	return nil
}

func (w *work) tell(verb string, p *corev1.Pod, err error) {
	title := map[string]string{"create": "Create", "delete": "Delete", "update": "Update"}[verb]
	if err != nil {
		w.pods.Events.Eventf(w.set, corev1.EventTypeWarning, "Failed"+title, "%s Pod %s in StatefulSet %s failed error: %s", title, p.Name, w.set.Name, err)
		return
	}
	w.pods.Events.Eventf(w.set, corev1.EventTypeNormal, "Successful"+title, "%s Pod %s in StatefulSet %s successful", title, p.Name, w.set.Name)
}

func (x *controller) report(ctx context.Context, set *appsv1.StatefulSet, status appsv1.StatefulSetStatus) error {
	if equality.Semantic.DeepEqual(set.Status, status) {
		return nil
	}
	changed := set.DeepCopy()
	changed.Status = status
	written, err := x.client.AppsV1().StatefulSets(set.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("update the status of the StatefulSet %s/%s: %w", set.Namespace, set.Name, err)
	}
	x.pods.Tracker.Wrote(cache.MetaObjectToName(set), x.sets.GetStore(), written)
	return nil
}
