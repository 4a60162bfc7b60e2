//lint:file-ignore SA1019 Endpoints are deprecated, and kept for those who still read them

package endpoints

import (
	"context"
	"errors"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	"k8s.io/endpointslice"
	endpointsliceutil "k8s.io/endpointslice/util"
	netutils "k8s.io/utils/net"

	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/pod"
	"github.com/howdah/howdah/controllers/reconcile"
)

// How Endpoints say who keeps them.
const (
	managedByLabel   = "endpoints.kubernetes.io/managed-by"
	endpointsManager = "endpoint-controller"
)

// EndpointsOptions are kube-controller-manager's.
type EndpointsOptions struct {
	Workers int
	Batch   time.Duration // how long changes of pods are gathered
}

type endpointsController struct {
	client    kubernetes.Interface
	services  corelisters.ServiceLister
	pods      corelisters.PodLister
	endpoints corelisters.EndpointsLister
	store     cache.Store
	triggers  *endpointsliceutil.TriggerTimeTracker
	tracker   freshness.Tracker
	events    record.EventRecorder
	queue     *reconcile.Queue[cache.ObjectName]
}

// Endpoints is the endpoints-controller.
func Endpoints(o EndpointsOptions) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		core := c.Informers.Core().V1()
		pods, services, endpoints := core.Pods(), core.Services(), core.Endpoints()
		x := &endpointsController{
			client: c.Client, services: services.Lister(), pods: pods.Lister(), endpoints: endpoints.Lister(), store: endpoints.Informer().GetStore(),
			triggers: endpointsliceutil.NewTriggerTimeTracker(), events: c.Recorder(endpointsManager),
		}
		pace := reconcile.NewPace[cache.ObjectName](c.Clock)
		x.queue = reconcile.NewQueue(c, "endpoint", o.Workers, pace.Keep(x.sync))
		changed, err := behind(services.Informer(), func(name cache.ObjectName) { x.queue.AddAfter(name, max(o.Batch, pace.Wait(name))) })
		if err != nil {
			return err
		}
		c.Loop(x.leftovers)
		return errors.Join(
			c.Handle(services.Informer(), reconcile.Each(func(s *corev1.Service) { x.queue.Add(cache.MetaObjectToName(s)) })),
			c.Handle(pods.Informer(), changed),
			c.Handle(endpoints.Informer(), reconcile.Events[*corev1.Endpoints]{
				Delete: func(e *corev1.Endpoints) { x.queue.Add(cache.MetaObjectToName(e)) },
			}),
		)
	}
}

// leftovers looks, once, at the Endpoints whose Service may have gone while
// nobody watched. Those that leaders are elected by never had one.
func (x *endpointsController) leftovers(context.Context) {
	all, err := x.endpoints.List(labels.Everything())
	if err != nil {
		return // informers' listers don't fail
	}
	for _, e := range all {
		if _, elects := e.Annotations[resourcelock.LeaderElectionRecordAnnotationKey]; !elects {
			x.queue.Add(cache.MetaObjectToName(e))
		}
	}
}

func (x *endpointsController) sync(ctx context.Context, key cache.ObjectName) error {
	service, err := x.services.Services(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		x.triggers.DeleteService(key.Namespace, key.Name)
		x.tracker.Forget(key)
		if _, err := x.endpoints.Endpoints(key.Namespace).Get(key.Name); apierrors.IsNotFound(err) {
			return nil
		}
		if err := x.client.CoreV1().Endpoints(key.Namespace).Delete(ctx, key.Name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			return err
		}
		return nil
	}
	if err != nil || !selects(service) {
		return err
	}
	if !x.tracker.Fresh(key) {
		x.queue.AddAfter(key, freshness.Recheck)
		return nil
	}
	pods, err := x.pods.Pods(key.Namespace).List(labels.SelectorFromValidatedSet(service.Spec.Selector))
	if err != nil {
		return err
	}
	trigger := x.triggers.ComputeEndpointLastChangeTriggerTime(key.Namespace, service, pods)
	current, err := x.endpoints.Endpoints(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		current = &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	} else if err != nil {
		return err
	}
	wanted := desired(service, pods, current)
	if current.ResourceVersion != "" && same(current, wanted) {
		return nil
	}
	if trigger.IsZero() {
		delete(wanted.Annotations, corev1.EndpointsLastChangeTriggerTime)
	} else {
		wanted.Annotations[corev1.EndpointsLastChangeTriggerTime] = trigger.UTC().Format(time.RFC3339Nano)
	}
	return x.write(ctx, key, wanted)
}

func (x *endpointsController) write(ctx context.Context, key cache.ObjectName, wanted *corev1.Endpoints) error {
	client := x.client.CoreV1().Endpoints(key.Namespace)
	if wanted.ResourceVersion == "" {
		created, err := client.Create(ctx, wanted, metav1.CreateOptions{})
		switch {
		case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			return nil
		case err != nil:
			x.events.Eventf(wanted, corev1.EventTypeWarning, "FailedToCreateEndpoint", "Failed to create endpoint for service %v/%v: %v", key.Namespace, key.Name, err)
			return err
		}
		x.tracker.Wrote(key, x.store, created)
		return nil
	}
	updated, err := client.Update(ctx, wanted, metav1.UpdateOptions{})
	if err != nil {
		x.events.Eventf(wanted, corev1.EventTypeWarning, "FailedToUpdateEndpoint", "Failed to update endpoint %v/%v: %v", key.Namespace, key.Name, err)
		return err
	}
	x.tracker.Wrote(key, x.store, updated)
	return nil
}

// desired is what a Service's Endpoints are to be, but for when they changed.
func desired(service *corev1.Service, pods []*corev1.Pod, current *corev1.Endpoints) *corev1.Endpoints {
	wanted := &corev1.Endpoints{ObjectMeta: *current.ObjectMeta.DeepCopy(), Subsets: subsetsOf(service, pods)}
	if wanted.Annotations == nil {
		wanted.Annotations = map[string]string{}
	}
	if truncate(wanted.Subsets) {
		wanted.Annotations[corev1.EndpointsOverCapacity] = "truncated"
	} else {
		delete(wanted.Annotations, corev1.EndpointsOverCapacity)
	}
	wanted.Labels = maps.Clone(service.Labels)
	if wanted.Labels == nil {
		wanted.Labels = map[string]string{}
	}
	delete(wanted.Labels, corev1.IsHeadlessService)
	if service.Spec.ClusterIP == corev1.ClusterIPNone || service.Spec.ClusterIP == "" {
		wanted.Labels[corev1.IsHeadlessService] = ""
	}
	wanted.Labels[managedByLabel] = endpointsManager
	return wanted
}

// same is whether a write would change nothing that counts. Subsets in another
// order, as another controller packs them, are the same.
func same(current, wanted *corev1.Endpoints) bool {
	over := func(e *corev1.Endpoints) string { return e.Annotations[corev1.EndpointsOverCapacity] }
	return maps.Equal(current.Labels, wanted.Labels) && over(current) == over(wanted) &&
		(equality.Semantic.DeepEqual(current.Subsets, wanted.Subsets) || equality.Semantic.DeepEqual(repack(current.Subsets), wanted.Subsets))
}

// subsetsOf are the addresses and ports of a Service's pods.
func subsetsOf(service *corev1.Service, pods []*corev1.Pod) []corev1.EndpointSubset {
	var subsets []corev1.EndpointSubset
	for _, p := range pods {
		if !endpointsliceutil.ShouldPodBeInEndpoints(p, service.Spec.PublishNotReadyAddresses) {
			continue
		}
		address, ok := addressOf(service, p)
		if !ok {
			continue // has none of the Service's family
		}
		var ports []corev1.EndpointPort
		for i := range service.Spec.Ports {
			port := &service.Spec.Ports[i]
			if number, err := endpointslice.FindPort(p, port); err == nil {
				ports = append(ports, corev1.EndpointPort{Name: port.Name, Port: int32(number), Protocol: port.Protocol, AppProtocol: port.AppProtocol})
			}
		}
		portless := len(service.Spec.Ports) == 0 && service.Spec.ClusterIP == corev1.ClusterIPNone
		if len(ports) == 0 && !portless {
			continue
		}
		subset := corev1.EndpointSubset{Ports: ports}
		if service.Spec.PublishNotReadyAddresses || pod.Ready(p) {
			subset.Addresses = []corev1.EndpointAddress{address}
		} else {
			subset.NotReadyAddresses = []corev1.EndpointAddress{address}
		}
		subsets = append(subsets, subset)
	}
	return repack(subsets)
}

// addressOf is the pod's address of the Service's first family.
func addressOf(service *corev1.Service, p *corev1.Pod) (corev1.EndpointAddress, bool) {
	wantsIPv6 := false
	switch {
	case len(service.Spec.IPFamilies) > 0:
		wantsIPv6 = service.Spec.IPFamilies[0] == corev1.IPv6Protocol
	case service.Spec.ClusterIP != "" && service.Spec.ClusterIP != corev1.ClusterIPNone:
		wantsIPv6 = netutils.IsIPv6String(service.Spec.ClusterIP)
	default:
		wantsIPv6 = netutils.IsIPv6String(p.Status.PodIP)
	}
	for _, podIP := range p.Status.PodIPs {
		ip := netutils.ParseIPSloppy(podIP.IP)
		if ip == nil || netutils.IsIPv6(ip) != wantsIPv6 {
			continue
		}
		address := corev1.EndpointAddress{
			IP: ip.String(), NodeName: &p.Spec.NodeName,
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID},
		}
		if endpointsliceutil.ShouldSetHostname(p, service) {
			address.Hostname = p.Spec.Hostname
		}
		return address, true
	}
	return corev1.EndpointAddress{}, false
}
