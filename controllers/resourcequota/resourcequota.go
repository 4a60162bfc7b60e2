// Package resourcequota keeps account, in the status of each ResourceQuota, of
// what its namespace uses (https://kubernetes.io/docs/concepts/policy/resource-quotas/).
//
// Admission counts up; this controller counts anew: when a quota changes, when
// something that it counts goes or takes less, and now and then. What an object
// uses is upstream's to say, see [Options].
package resourcequota

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/controllers/reconcile"
)

// Options are kube-controller-manager's, and what it knows of quotas.
type Options struct {
	Workers    int
	SyncPeriod time.Duration // between counts of everything; 0 for never
	// Configuration has the evaluators that say what an object uses, and the
	// resources that quotas don't count.
	Configuration func(quota.ListerForResourceFunc, informers.SharedInformerFactory) (quota.Configuration, error)
	// Less is whether an update may have made an object use less.
	Less func(resource schema.GroupVersionResource, before, after any) bool
}

// whole are the resources that are counted by more than their number, so that
// their objects must be known whole, and ResourceQuotas, which are: a new one has
// to find itself in the informer that tells of it.
var whole = map[schema.GroupResource]bool{
	{Resource: "resourcequotas"}: true,
	{Resource: "pods"}:           true, {Resource: "services"}: true, {Resource: "persistentvolumeclaims"}: true,
	{Group: "resource.k8s.io", Resource: "resourceclaims"}: true,
}

type controller struct {
	life     *reconcile.Controller
	ended    chan struct{} // is closed when this life ends
	quotas   corelisters.ResourceQuotaLister
	registry quota.Registry
	ignored  map[schema.GroupResource]struct{}
	queue    *reconcile.Queue[cache.ObjectName]
	pace     *reconcile.Pace[cache.ObjectName]

	mu       sync.Mutex
	counters map[schema.GroupResource]*counter
	running  sync.WaitGroup // the counters
}

// Setup is the resourcequota-controller.
func Setup(o Options) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		quotas := c.Informers.Core().V1().ResourceQuotas()
		x := &controller{life: c, ended: make(chan struct{}), quotas: quotas.Lister(), pace: reconcile.NewPace[cache.ObjectName](c.Clock), counters: map[schema.GroupResource]*counter{}}
		c.OnEnd(func() {
			close(x.ended)
			x.running.Wait()
		})
		configuration, err := o.Configuration(x.lister, c.Informers.SharedInformerFactory)
		if err != nil {
			return fmt.Errorf("prepare to count what quotas limit: %w", err)
		}
		x.registry, x.ignored = generic.NewRegistry(configuration.Evaluators()), configuration.IgnoredResources()
		x.queue = reconcile.NewQueue(c, "resourcequota_primary", o.Workers, x.pace.Keep(x.sync))
		if o.SyncPeriod > 0 {
			c.Every(o.SyncPeriod, func(context.Context) { x.all() })
		}
		errs := []error{c.Handle(quotas.Informer(), reconcile.Events[*corev1.ResourceQuota]{
			Add: x.changed,
			Update: func(before, q *corev1.ResourceQuota) {
				// Admission's changes of the status are right.
				if !equality.Semantic.DeepEqual(before.Spec, q.Spec) || !equality.Semantic.DeepEqual(q.Spec.Hard, q.Status.Hard) {
					x.changed(q)
				}
			},
		})}
		for resource := range whole {
			version := resource.WithVersion("v1")
			shared, err := c.Informers.ForResource(version)
			if err != nil {
				return fmt.Errorf("watch %s: %w", resource, err)
			}
			errs = append(errs, c.Handle(shared.Informer(), reconcile.Events[metav1.Object]{
				Update: func(before, after metav1.Object) {
					if before.GetResourceVersion() != after.GetResourceVersion() && o.Less(version, before, after) {
						x.replenish(resource, after.GetNamespace())
					}
				},
				Delete: func(object metav1.Object) { x.replenish(resource, object.GetNamespace()) },
			}))
		}
		// The evaluator of resource claims looks at these.
		errs = append(errs, c.Need(c.Informers.Resource().V1().DeviceClasses().Informer()))
		return errors.Join(errs...)
	}
}

// settled is after how long the informers of what a quota counts are surely as
// far as the quota's own.
const settled = time.Second

// changed counts for a quota that is new or another one, and once more when
// what came just before it, so that admission didn't count it, is known.
func (x *controller) changed(q *corev1.ResourceQuota) {
	x.queue.Add(cache.MetaObjectToName(q))
	x.queue.AddAfter(cache.MetaObjectToName(q), settled)
}

// all counts everything anew.
func (x *controller) all() {
	quotas, err := x.quotas.List(labels.Everything())
	if err != nil {
		return // informers' listers don't fail
	}
	for _, q := range quotas {
		x.queue.Add(cache.MetaObjectToName(q))
	}
}

// replenish counts anew for the quotas of a namespace that limit a resource.
func (x *controller) replenish(resource schema.GroupResource, namespace string) {
	evaluator := x.registry.Get(resource)
	if evaluator == nil {
		return
	}
	quotas, err := x.quotas.ResourceQuotas(namespace).List(labels.Everything())
	if err != nil {
		return // informers' listers don't fail
	}
	for _, q := range quotas {
		if name := cache.MetaObjectToName(q); len(evaluator.MatchingResources(quota.ResourceNames(q.Spec.Hard))) > 0 {
			x.queue.AddAfter(name, x.pace.Wait(name))
		}
	}
}

func (x *controller) sync(ctx context.Context, name cache.ObjectName) error {
	q, err := x.quotas.ResourceQuotas(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := x.prepare(ctx, q); err != nil {
		return err
	}
	status, countErr := reckon(q, x.registry)
	if q.Status.Hard != nil && q.Status.Used != nil && equality.Semantic.DeepEqual(status.Hard, q.Status.Hard) && quota.Equals(status.Used, q.Status.Used) {
		return countErr
	}
	changed := q.DeepCopy()
	changed.Status = status
	if _, err := x.life.Client.CoreV1().ResourceQuotas(q.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return countErr
}

// reckon counts what a quota limits. What couldn't be counted, as the error
// says, or is counted by somebody else keeps its last count.
func reckon(q *corev1.ResourceQuota, registry quota.Registry) (corev1.ResourceQuotaStatus, error) {
	hard := quota.Add(corev1.ResourceList{}, q.Spec.Hard)
	usage, err := quota.CalculateUsage(q.Namespace, q.Spec.Scopes, hard, registry, q.Spec.ScopeSelector)
	used := quota.Add(corev1.ResourceList{}, q.Status.Used)
	for resource, amount := range usage {
		used[resource] = amount
	}
	return corev1.ResourceQuotaStatus{Hard: hard, Used: quota.Mask(used, quota.ResourceNames(hard))}, err
}
