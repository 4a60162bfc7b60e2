// Package namespace empties namespaces that are deleted, and lets them go once
// they are empty: pods first, then everything else that can be discovered
// (https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/,
// KEP-5080). What remains, and what failed, is named by the namespace's
// conditions.
package namespace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/discovery"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/reconcile"
)

// settle is how long a deleted namespace is left alone, so that every server
// has learned of it and admits nothing into it any more.
const settle = 2 * time.Second

type controller struct {
	namespaces typedcorev1.NamespaceInterface
	known      corelisters.NamespaceLister
	pods       corelisters.PodLister
	discover   func() ([]*metav1.APIResourceList, error)
	content    metadata.Interface
	clock      clock.PassiveClock
	queue      *reconcile.Queue[string]
}

// Setup is the namespace-controller with that many workers.
func Setup(workers int32) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		namespaces, pods := c.Informers.Core().V1().Namespaces(), c.Informers.Core().V1().Pods()
		x := &controller{
			namespaces: c.Client.CoreV1().Namespaces(), known: namespaces.Lister(), pods: pods.Lister(),
			discover: c.Client.Discovery().ServerPreferredNamespacedResources, content: c.Metadata, clock: c.Clock,
		}
		limiter := workqueue.NewTypedMaxOfRateLimiter(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](5*time.Millisecond, time.Minute),
			&workqueue.TypedBucketRateLimiter[string]{Limiter: rate.NewLimiter(10, 100)},
		)
		x.queue = reconcile.NewQueueWithLimiter(c, "namespace", int(workers), limiter, x.sync)
		enqueue := func(n *corev1.Namespace) {
			if n.DeletionTimestamp != nil && len(n.Spec.Finalizers) > 0 {
				x.queue.AddAfter(n.Name, settle)
			}
		}
		if err := c.Handle(namespaces.Informer(), reconcile.Events[*corev1.Namespace]{
			Add: enqueue, Update: func(before, after *corev1.Namespace) {
				// The conditions are our own word.
				if before.DeletionTimestamp == nil || before.ResourceVersion == after.ResourceVersion || !slices.Equal(before.Spec.Finalizers, after.Spec.Finalizers) {
					enqueue(after)
				}
			},
		}); err != nil {
			return err
		}
		return c.Handle(pods.Informer(), reconcile.Events[*corev1.Pod]{Delete: x.podGone})
	}
}

// podGone goes on with a namespace whose last pod has gone.
func (x *controller) podGone(pod *corev1.Pod) {
	namespace, err := x.known.Get(pod.Namespace)
	if err != nil || namespace.DeletionTimestamp == nil {
		return
	}
	if left, err := x.pods.Pods(pod.Namespace).List(labels.Everything()); err == nil && len(left) == 0 {
		x.queue.Add(pod.Namespace)
	}
}

func (x *controller) sync(ctx context.Context, name string) error {
	if known, err := x.known.Get(name); apierrors.IsNotFound(err) || err == nil && known.DeletionTimestamp == nil {
		return nil
	}
	namespace, err := x.namespaces.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || namespace.DeletionTimestamp == nil || len(namespace.Spec.Finalizers) == 0 {
		return err
	}
	if namespace.Status.Phase != corev1.NamespaceTerminating {
		namespace.Status.Phase = corev1.NamespaceTerminating
		if namespace, err = x.namespaces.UpdateStatus(ctx, namespace, metav1.UpdateOptions{}); err != nil {
			return reconcile.IgnoreNotFound(err)
		}
	}
	left, problems := x.empty(ctx, namespace)
	if conditions := conditionsOf(left, problems, metav1.NewTime(x.clock.Now())); update(&namespace.Status, conditions) {
		updated, err := x.namespaces.UpdateStatus(ctx, namespace, metav1.UpdateOptions{})
		if err != nil {
			return errors.Join(reconcile.IgnoreNotFound(err), problems.all())
		}
		namespace = updated
	}
	if err := problems.all(); err != nil {
		return err
	}
	if left.estimate > 0 {
		x.queue.AddAfter(name, left.estimate/2+time.Second)
		return nil
	}
	namespace.Spec.Finalizers = slices.DeleteFunc(namespace.Spec.Finalizers, func(f corev1.FinalizerName) bool { return f == corev1.FinalizerKubernetes })
	_, err = x.namespaces.Finalize(ctx, namespace, metav1.UpdateOptions{})
	return reconcile.IgnoreNotFound(err)
}

// problems are what kept a namespace from being emptied.
type problems struct {
	discovery error   // not everything is known
	versions  error   // a name of a version makes no sense
	content   []error // something was not deleted
}

func (p *problems) all() error {
	return errors.Join(append([]error{p.discovery, p.versions}, p.content...)...)
}

func discoveryMessage(err error) string {
	var groups *discovery.ErrGroupDiscoveryFailed
	if errors.As(err, &groups) {
		return fmt.Sprintf("Discovery failed for some groups, %d failing: %v", len(groups.Groups), err)
	}
	return err.Error()
}
