package endpoints

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	nodeutil "k8s.io/component-helpers/node/util"
	"k8s.io/endpointslice"
	"k8s.io/endpointslice/metrics"
	"k8s.io/endpointslice/topologycache"
	endpointsliceutil "k8s.io/endpointslice/util"
	"k8s.io/klog/v2"

	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/reconcile"
)

// slicesManager is how slices say who keeps them.
const slicesManager = "endpointslice-controller.k8s.io"

// foreignPause is how long after somebody else's change of a slice it is looked
// at, so that many changes are one look.
const foreignPause = time.Second

// SlicesOptions are kube-controller-manager's.
type SlicesOptions struct {
	Workers  int
	PerSlice int32         // endpoints in a slice at most
	Batch    time.Duration // how long changes of pods are gathered
}

type sliceController struct {
	services   corelisters.ServiceLister
	pods       corelisters.PodLister
	nodes      corelisters.NodeLister
	slices     discoverylisters.EndpointSliceLister
	tracker    *endpointsliceutil.EndpointSliceTracker
	triggers   *endpointsliceutil.TriggerTimeTracker
	topology   *topologycache.TopologyCache
	reconciler *endpointslice.Reconciler
	events     record.EventRecorder
	log        klog.Logger
	queue      *reconcile.Queue[cache.ObjectName]
	zones      *reconcile.Queue[string]
}

// Slices is the endpointslice-controller.
func Slices(o SlicesOptions) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		metrics.RegisterMetrics()
		core := c.Informers.Core().V1()
		pods, services, nodes, slices := core.Pods(), core.Services(), core.Nodes(), c.Informers.Discovery().V1().EndpointSlices()
		x := &sliceController{
			services: services.Lister(), pods: pods.Lister(), nodes: nodes.Lister(), slices: slices.Lister(),
			tracker: endpointsliceutil.NewEndpointSliceTracker(), triggers: endpointsliceutil.NewTriggerTimeTracker(), topology: topologycache.NewTopologyCache(),
			events: c.Recorder("endpoint-slice-controller"), log: klog.Background(),
		}
		x.reconciler = endpointslice.NewReconciler(c.Client, x.nodes, o.PerSlice, x.tracker, x.topology, x.events, slicesManager,
			endpointslice.WithPreferSameTrafficDistributionEnabled(true))
		pace := reconcile.NewPace[cache.ObjectName](c.Clock)
		x.queue = reconcile.NewQueueWithLimiter(c, "endpoint_slice", o.Workers, patient(1000*time.Second), pace.Keep(x.sync))
		x.zones = reconcile.NewQueue(c, "endpoint_slice_topology", 1, x.syncZones)
		changed, err := behind(services.Informer(), func(name cache.ObjectName) { x.queue.AddAfter(name, max(o.Batch, pace.Wait(name))) })
		if err != nil {
			return err
		}
		return errors.Join(
			c.Handle(services.Informer(), reconcile.Each(func(s *corev1.Service) { x.queue.Add(cache.MetaObjectToName(s)) })),
			c.Handle(pods.Informer(), changed),
			c.Handle(slices.Informer(), ofSlices(slicesManager, x.tracker, func(name cache.ObjectName) { x.queue.AddAfter(name, max(foreignPause, o.Batch)) })),
			c.Handle(nodes.Informer(), reconcile.Events[*corev1.Node]{
				Add: func(*corev1.Node) { x.zones.Add("") },
				Update: func(before, after *corev1.Node) {
					if nodeReady(before) != nodeReady(after) || before.Labels[corev1.LabelTopologyZone] != after.Labels[corev1.LabelTopologyZone] {
						x.zones.Add("")
					}
				},
				Delete: func(*corev1.Node) { x.zones.Add("") },
			}),
		)
	}
}

// patient is upstream's limiter of endpoints' queues: a failure may have meant
// many writes, so that the next attempt waits for a second at least.
func patient(most time.Duration) workqueue.TypedRateLimiter[cache.ObjectName] {
	return workqueue.NewTypedMaxOfRateLimiter(
		workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](time.Second, most),
		&workqueue.TypedBucketRateLimiter[cache.ObjectName]{Limiter: rate.NewLimiter(10, 100)},
	)
}

// ofSlices enqueues the Service of a manager's slices where what happened to
// them wasn't our doing.
func ofSlices(manager string, tracker *endpointsliceutil.EndpointSliceTracker, enqueue func(cache.ObjectName)) reconcile.Events[*discoveryv1.EndpointSlice] {
	ours := func(s *discoveryv1.EndpointSlice) bool { return s.Labels[discoveryv1.LabelManagedBy] == manager }
	tell := func(s *discoveryv1.EndpointSlice) {
		if service := s.Labels[discoveryv1.LabelServiceName]; service != "" {
			enqueue(cache.ObjectName{Namespace: s.Namespace, Name: service})
		}
	}
	return reconcile.Events[*discoveryv1.EndpointSlice]{
		Add: func(s *discoveryv1.EndpointSlice) {
			if ours(s) && tracker.ShouldSync(s) {
				tell(s)
			}
		},
		Update: func(before, s *discoveryv1.EndpointSlice) {
			switch {
			case before.Labels[discoveryv1.LabelServiceName] != s.Labels[discoveryv1.LabelServiceName]:
				tell(before)
				tell(s)
			case ours(before) != ours(s) || ours(s) && tracker.ShouldSync(s):
				tell(s)
			}
		},
		Delete: func(s *discoveryv1.EndpointSlice) {
			if ours(s) && tracker.Has(s) && !tracker.HandleDeletion(s) {
				tell(s)
			}
		},
	}
}

func (x *sliceController) sync(_ context.Context, key cache.ObjectName) error {
	service, err := x.services.Services(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		x.triggers.DeleteService(key.Namespace, key.Name)
		x.reconciler.DeleteService(key.Namespace, key.Name)
		x.tracker.DeleteService(key.Namespace, key.Name)
		return nil
	}
	if err != nil || !selects(service) {
		return err
	}
	pods, err := x.pods.Pods(key.Namespace).List(labels.SelectorFromValidatedSet(service.Spec.Selector))
	if err != nil {
		return err
	}
	existing, err := managedSlices(x.slices, key, slicesManager)
	if err != nil {
		return err
	}
	if x.tracker.StaleSlices(service, existing) {
		metrics.EndpointSliceSyncs.WithLabelValues("stale").Inc()
		x.queue.AddAfter(key, freshness.Recheck)
		return nil
	}
	trigger := x.triggers.ComputeEndpointLastChangeTriggerTime(key.Namespace, service, pods)
	if err := x.reconciler.Reconcile(x.log, service, pods, existing, trigger); err != nil {
		metrics.EndpointSliceSyncs.WithLabelValues("error").Inc()
		x.events.Eventf(service, corev1.EventTypeWarning, "FailedToUpdateEndpointSlices", "Error updating Endpoint Slices for Service %s/%s: %v", key.Namespace, key.Name, reconcile.Brief(err))
		return err
	}
	metrics.EndpointSliceSyncs.WithLabelValues("success").Inc()
	return nil
}

// managedSlices are those of a Service that are a manager's and not being
// deleted.
func managedSlices(lister discoverylisters.EndpointSliceLister, service cache.ObjectName, manager string) ([]*discoveryv1.EndpointSlice, error) {
	found, err := lister.EndpointSlices(service.Namespace).List(labels.SelectorFromValidatedSet(labels.Set{
		discoveryv1.LabelServiceName: service.Name, discoveryv1.LabelManagedBy: manager,
	}))
	return slices.DeleteFunc(found, func(s *discoveryv1.EndpointSlice) bool { return s.DeletionTimestamp != nil }), err
}

// syncZones tells how CPUs are distributed over zones, and works on the Services
// whose hints that has made wrong.
func (x *sliceController) syncZones(context.Context, string) error {
	nodes, err := x.nodes.List(labels.Everything())
	if err != nil {
		return err
	}
	x.topology.SetNodes(x.log, nodes)
	for _, key := range x.topology.GetOverloadedServices() {
		if name, err := cache.ParseObjectName(key); err == nil {
			x.queue.Add(name)
		}
	}
	return nil
}

func nodeReady(node *corev1.Node) bool {
	_, condition := nodeutil.GetNodeCondition(&node.Status, corev1.NodeReady)
	return condition != nil && condition.Status == corev1.ConditionTrue
}
