//lint:file-ignore SA1019 Endpoints are deprecated, and kept for those who still read them

package endpoints

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	endpointsliceutil "k8s.io/endpointslice/util"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/reconcile"
)

// mirrorManager is how mirrored slices say who keeps them.
const mirrorManager = "endpointslicemirroring-controller.k8s.io"

// MirrorOptions are kube-controller-manager's.
type MirrorOptions struct {
	Workers   int
	PerSubset int32         // addresses of a subset that are mirrored at most
	Batch     time.Duration // how long changes of slices are gathered
}

type mirrorController struct {
	client    kubernetes.Interface
	clock     clock.PassiveClock
	services  corelisters.ServiceLister
	endpoints corelisters.EndpointsLister
	slices    discoverylisters.EndpointSliceLister
	tracker   *endpointsliceutil.EndpointSliceTracker
	counts    mirrorCounts
	events    record.EventRecorder
	most      int
	queue     *reconcile.Queue[cache.ObjectName]
}

// Mirror is the endpointslice-mirroring-controller.
func Mirror(o MirrorOptions) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		registerMirror()
		services, endpoints, slices := c.Informers.Core().V1().Services(), c.Informers.Core().V1().Endpoints(), c.Informers.Discovery().V1().EndpointSlices()
		x := &mirrorController{
			client: c.Client, clock: c.Clock, services: services.Lister(), endpoints: endpoints.Lister(), slices: slices.Lister(),
			tracker: endpointsliceutil.NewEndpointSliceTracker(), events: c.Recorder("endpoint-slice-mirroring-controller"), most: int(o.PerSubset),
		}
		x.queue = reconcile.NewQueueWithLimiter(c, "endpoint_slice_mirroring", o.Workers, patient(100*time.Second), x.sync)
		unselected := func(s *corev1.Service) {
			if s.Spec.Selector == nil {
				x.queue.Add(cache.MetaObjectToName(s))
			}
		}
		mirrored := func(e *corev1.Endpoints) {
			if mirrors(e) {
				x.queue.Add(cache.MetaObjectToName(e))
			}
		}
		return errors.Join(
			c.Handle(services.Informer(), reconcile.Events[*corev1.Service]{
				Add: unselected,
				Update: func(before, s *corev1.Service) {
					if (before.Spec.Selector == nil) != (s.Spec.Selector == nil) {
						x.queue.Add(cache.MetaObjectToName(s))
					}
				},
				Delete: unselected,
			}),
			c.Handle(endpoints.Informer(), reconcile.Events[*corev1.Endpoints]{
				Add: mirrored,
				Update: func(before, e *corev1.Endpoints) {
					if mirrors(before) || mirrors(e) {
						x.queue.Add(cache.MetaObjectToName(e))
					}
				},
				Delete: mirrored,
			}),
			c.Handle(slices.Informer(), ofSlices(mirrorManager, x.tracker, func(name cache.ObjectName) { x.queue.AddAfter(name, max(foreignPause, o.Batch)) })),
		)
	}
}

// mirrors is whether Endpoints are to be mirrored, if their Service has no
// selector: somebody may have asked not to, and those that leaders are elected
// by have no addresses.
func mirrors(e *corev1.Endpoints) bool {
	_, elects := e.Annotations[resourcelock.LeaderElectionRecordAnnotationKey]
	return !elects && e.Labels[discoveryv1.LabelSkipMirror] != "true"
}

func (x *mirrorController) sync(ctx context.Context, key cache.ObjectName) error {
	began := x.clock.Now()
	defer func() { mirrorDuration.WithLabelValues().Observe(x.clock.Since(began).Seconds()) }()
	endpoints, err := x.endpoints.Endpoints(key.Namespace).Get(key.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	service, serviceErr := x.services.Services(key.Namespace).Get(key.Name)
	if serviceErr != nil && !apierrors.IsNotFound(serviceErr) {
		return serviceErr
	}
	existing, listErr := managedSlices(x.slices, key, mirrorManager)
	if listErr != nil {
		return listErr
	}
	if err != nil || serviceErr != nil || !mirrors(endpoints) || service.Spec.Selector != nil {
		return x.end(ctx, key, existing)
	}
	if x.tracker.StaleSlices(service, existing) {
		x.queue.AddAfter(key, freshness.Recheck)
		return nil
	}
	plan := mirror(endpoints, existing, x.most)
	mirrorSkipped.WithLabelValues().Observe(float64(plan.skipped))
	if plan.invalid > 0 {
		x.events.Eventf(endpoints, corev1.EventTypeWarning, "InvalidIPAddress", "Skipped %d invalid IP addresses when mirroring to EndpointSlices", plan.invalid)
	}
	if plan.skipped > plan.invalid {
		x.events.Eventf(endpoints, corev1.EventTypeWarning, "TooManyAddressesToMirror", "A max of %d addresses can be mirrored to EndpointSlices per Endpoints subset. %d addresses were skipped", x.most, plan.skipped)
	}
	mirrorAdded.WithLabelValues().Observe(float64(plan.added))
	mirrorUpdated.WithLabelValues().Observe(float64(plan.updated))
	mirrorRemoved.WithLabelValues().Observe(float64(plan.removed))
	x.counts.set(key, plan.counts)
	return x.write(ctx, endpoints, plan)
}

// end deletes the slices of Endpoints that aren't mirrored, or not any more.
func (x *mirrorController) end(ctx context.Context, key cache.ObjectName, existing []*discoveryv1.EndpointSlice) error {
	x.tracker.DeleteService(key.Namespace, key.Name)
	x.counts.forget(key)
	var errs []error
	for _, slice := range existing {
		if err := x.client.DiscoveryV1().EndpointSlices(key.Namespace).Delete(ctx, slice.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (x *mirrorController) write(ctx context.Context, endpoints *corev1.Endpoints, plan mirrorPlan) error {
	client := x.client.DiscoveryV1().EndpointSlices(endpoints.Namespace)
	failed := func(verb string, err error) error {
		return fmt.Errorf("%s an EndpointSlice of the Endpoints %s/%s: %w", verb, endpoints.Namespace, endpoints.Name, err)
	}
	if endpoints.DeletionTimestamp == nil {
		for _, slice := range plan.create {
			created, err := client.Create(ctx, slice, metav1.CreateOptions{})
			if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
				return nil
			} else if err != nil {
				return failed("create", err)
			}
			x.tracker.Update(created)
			mirrorChanges.WithLabelValues("create").Inc()
		}
	}
	for _, slice := range plan.update {
		updated, err := client.Update(ctx, slice, metav1.UpdateOptions{})
		if err != nil {
			return failed("update", err)
		}
		x.tracker.Update(updated)
		mirrorChanges.WithLabelValues("update").Inc()
	}
	for _, slice := range plan.remove {
		if err := client.Delete(ctx, slice.Name, metav1.DeleteOptions{}); err != nil {
			return failed("delete", err)
		}
		x.tracker.ExpectDeletion(slice)
		mirrorChanges.WithLabelValues("delete").Inc()
	}
	for _, slice := range plan.keep {
		if !x.tracker.Has(slice) {
			x.tracker.Update(slice)
		}
	}
	return nil
}
