// Package loadbalancer gives Services of the type LoadBalancer addresses of a
// configured pool, as the service controller of a cloud would
// (https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer).
// That traffic to these addresses reaches the nodes is the network's to see to;
// on the nodes kube-proxy accepts it.
//
// No address is given twice. What is given stands in the Services' status and
// nowhere else; whoever begins to lead reads it from the API itself, one worker
// gives, it asks before each write whether it still leads, and it writes only
// what it has seen the last version of. If a write of a former leader comes late
// all the same, the Service that got its address last gets another one.
package loadbalancer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/howdah/howdah/controllers/reconcile"
)

// Name is the controller's, which is cloud-controller-manager's.
const Name = "service-lb-controller"

const (
	finalizer = "service.kubernetes.io/load-balancer-cleanup"
	// ours marks the Services whose finalizer is ours, and not that of a cloud's
	// controller.
	ours = "howdah.io/load-balancer"
	// othersTime is how long, without a pool, somebody else has for giving an
	// address before we tell that nobody does.
	othersTime = 2 * time.Second
)

type controller struct {
	client   kubernetes.Interface
	services corelisters.ServiceLister
	events   record.EventRecorder
	pool     Pool
	holders  *holders // nil until they have been read
	queue    *reconcile.Queue[cache.ObjectName]
}

// Setup is the service-lb-controller. Without a pool Services stay pending.
func Setup(pool Pool) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		register()
		services := c.Informers.Core().V1().Services()
		x := &controller{client: c.Client, services: services.Lister(), events: c.Recorder("service-controller"), pool: pool}
		x.queue = reconcile.NewQueueWithLimiter(c, "service", 1, workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](5*time.Second, 5*time.Minute), x.sync)
		enqueue := func(s *corev1.Service) {
			switch {
			case !wants(s) && !owned(s) && len(s.Status.LoadBalancer.Ingress) == 0:
			case len(x.pool) == 0 && !owned(s):
				x.queue.AddAfter(cache.MetaObjectToName(s), othersTime)
			default:
				x.queue.Add(cache.MetaObjectToName(s))
			}
		}
		return c.Handle(services.Informer(), reconcile.Events[*corev1.Service]{
			Add: enqueue,
			Update: func(before, s *corev1.Service) {
				if before.ResourceVersion != s.ResourceVersion {
					enqueue(s)
				}
			},
			Delete: func(s *corev1.Service) {
				if len(s.Status.LoadBalancer.Ingress) > 0 {
					x.queue.Add(cache.MetaObjectToName(s))
				}
			},
		})
	}
}

// wants is whether a Service is to have a load balancer of ours; those of a class
// are left alone.
func wants(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.LoadBalancerClass == nil && s.DeletionTimestamp == nil
}

// owned is whether a Service has, or had, a load balancer of ours.
func owned(s *corev1.Service) bool {
	return s.Annotations[ours] != "" && slices.Contains(s.Finalizers, finalizer)
}

func (x *controller) sync(ctx context.Context, key cache.ObjectName) error {
	if x.holders == nil {
		if err := x.read(ctx); err != nil {
			return err
		}
	}
	service, err := x.services.Services(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		x.hold(key, nil)
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case wants(service) && len(x.pool) == 0 && !owned(service):
		if len(service.Status.LoadBalancer.Ingress) == 0 {
			x.failed(service, errors.New("failed to ensure load balancer: there are no addresses to give; name some in --service-load-balancer-pool, or install a load balancer"))
		}
		return nil
	case wants(service):
		err = x.ensure(ctx, service)
	case owned(service):
		err = x.remove(ctx, service)
	default: // somebody else's
		x.hold(key, addresses(service))
	}
	if err != nil && !apierrors.IsConflict(err) {
		x.failed(service, err)
	}
	return err
}

func (x *controller) failed(service *corev1.Service, err error) {
	x.events.Eventf(service, corev1.EventTypeWarning, "SyncLoadBalancerFailed", "Error syncing load balancer: %v", err)
}

// read takes what is given from the API itself: an informer may be behind what
// another leader wrote last. Of two Services with one address the elder keeps it.
func (x *controller) read(ctx context.Context) error {
	all, err := x.client.CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("read which addresses are given: %w", err)
	}
	slices.SortFunc(all.Items, func(a, b corev1.Service) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	x.holders = newHolders()
	for i := range all.Items {
		x.holders.hold(cache.MetaObjectToName(&all.Items[i]), addresses(&all.Items[i]))
	}
	return nil
}

// hold notes what a Service has. Whoever waits for an address may get one that
// became free.
func (x *controller) hold(key cache.ObjectName, addresses []netip.Addr) {
	if !x.holders.hold(key, addresses) {
		return
	}
	all, err := x.services.List(labels.Everything())
	if err != nil {
		return // informers' listers don't fail
	}
	for _, s := range all {
		if wants(s) && len(s.Status.LoadBalancer.Ingress) == 0 {
			x.queue.Add(cache.MetaObjectToName(s))
		}
	}
}

func (x *controller) ensure(ctx context.Context, service *corev1.Service) error {
	key := cache.MetaObjectToName(service)
	has := addresses(service)
	chosen, err := x.pool.choose(service, append(has, x.holders.by[key]...), x.holders.takenFor(key))
	if err != nil {
		return fmt.Errorf("failed to ensure load balancer: %w", err)
	}
	if owned(service) && slices.Equal(chosen, has) && len(service.Status.LoadBalancer.Ingress) == len(has) {
		x.hold(key, chosen)
		return nil
	}
	x.events.Event(service, corev1.EventTypeNormal, "EnsuringLoadBalancer", "Ensuring load balancer")
	x.holders.hold(key, append(slices.Clone(chosen), x.holders.by[key]...)) // both until the answer
	ingress := make([]corev1.LoadBalancerIngress, len(chosen))
	for i, address := range chosen {
		ingress[i].IP = address.String()
	}
	finalizers := service.Finalizers
	if !slices.Contains(finalizers, finalizer) {
		finalizers = append(slices.Clone(finalizers), finalizer)
	}
	if err := x.patch(ctx, service, finalizers, "pool", ingress); err != nil {
		return fmt.Errorf("failed to update load balancer status: %w", err)
	}
	x.hold(key, chosen)
	syncs.Inc()
	x.events.Event(service, corev1.EventTypeNormal, "EnsuredLoadBalancer", "Ensured load balancer")
	return nil
}

func (x *controller) remove(ctx context.Context, service *corev1.Service) error {
	x.events.Event(service, corev1.EventTypeNormal, "DeletingLoadBalancer", "Deleting load balancer")
	finalizers := slices.DeleteFunc(slices.Clone(service.Finalizers), func(f string) bool { return f == finalizer })
	if err := x.patch(ctx, service, finalizers, nil, nil); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("failed to remove load balancer cleanup finalizer: %w", err)
	}
	x.hold(cache.MetaObjectToName(service), nil)
	x.events.Event(service, corev1.EventTypeNormal, "DeletedLoadBalancer", "Deleted load balancer")
	return nil
}

// patch writes what this controller has to say of a Service, all at once, if it
// is still the version that was decided on.
func (x *controller) patch(ctx context.Context, service *corev1.Service, finalizers []string, mark any, ingress []corev1.LoadBalancerIngress) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{
			"uid": service.UID, "resourceVersion": service.ResourceVersion,
			"finalizers": finalizers, "annotations": map[string]any{ours: mark},
		},
		"status": map[string]any{"loadBalancer": map[string]any{"ingress": ingress}},
	})
	if err != nil {
		return fmt.Errorf("encode the patch: %w", err)
	}
	_, err = x.client.CoreV1().Services(service.Namespace).Patch(ctx, service.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// addresses are those that a Service's status has.
func addresses(service *corev1.Service) []netip.Addr {
	var all []netip.Addr
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if address, err := netip.ParseAddr(ingress.IP); err == nil {
			all = append(all, address)
		}
	}
	return all
}

var (
	syncs = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem:      "service_controller",
		Name:           "loadbalancer_sync_total",
		Help:           "A metric counting the amount of times any load balancer has been configured, as an effect of service/node changes on the cluster",
		StabilityLevel: metrics.ALPHA,
	})
	register = sync.OnceFunc(func() { legacyregistry.MustRegister(syncs) })
)
