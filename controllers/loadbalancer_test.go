package controllers_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/howdah/howdah/controllers"
	"github.com/howdah/howdah/controllers/loadbalancer"
)

const cleanup = "service.kubernetes.io/load-balancer-cleanup"

// balanced makes a Service of the type LoadBalancer.
func (c *cluster) balanced(name string, change ...func(*corev1.ServiceSpec)) {
	c.Helper()
	spec := corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}}
	for _, change := range change {
		change(&spec)
	}
	must(c.client.CoreV1().Services("default").Create(c.ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{}))(c)
}

// awaitAddress waits until a Service has an address, "" for none, and the
// finalizer with it.
func (c *cluster) awaitAddress(name, address string) {
	c.Helper()
	await(c, c.client.CoreV1().Services("default"), name, func(s *corev1.Service) bool {
		finalizer := len(s.Finalizers) == 1 && s.Finalizers[0] == cleanup
		if address == "" {
			return len(s.Status.LoadBalancer.Ingress) == 0 && len(s.Finalizers) == 0 && len(s.Annotations) == 0
		}
		return finalizer && len(s.Status.LoadBalancer.Ingress) == 1 && s.Status.LoadBalancer.Ingress[0].IP == address && *s.Status.LoadBalancer.Ingress[0].IPMode == corev1.LoadBalancerIPModeVIP
	})
}

func TestLoadBalancersGetAddresses(t *testing.T) {
	pool := must(loadbalancer.ParsePool([]string{"192.0.2.1-192.0.2.2"}))(t)
	c := start(t, func(o *controllers.Options) { o.LoadBalancerPool = pool }, "service-lb-controller")
	services := c.client.CoreV1().Services("default")
	c.balanced("a")
	c.awaitAddress("a", "192.0.2.1")
	c.balanced("b")
	c.awaitAddress("b", "192.0.2.2")
	for _, reason := range []string{"EnsuringLoadBalancer", "EnsuredLoadBalancer"} {
		c.awaitEvent("default", "b", reason)
	}
	c.balanced("classed", func(s *corev1.ServiceSpec) { s.LoadBalancerClass = ptr.To("example.org/other") })
	c.balanced("late")
	c.awaitEvent("default", "late", "SyncLoadBalancerFailed")

	// A deleted one goes, and its address is somebody's who waited.
	if err := services.Delete(c.ctx, "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitGone(c, services, "a")
	c.awaitAddress("late", "192.0.2.1")
	// So is that of one that wants no load balancer any more.
	must(services.Patch(c.ctx, "b", types.MergePatchType, []byte(`{"spec":{"type":"ClusterIP"}}`), metav1.PatchOptions{}))(t)
	c.awaitAddress("b", "")
	c.awaitEvent("default", "b", "DeletedLoadBalancer")
	c.balanced("asks", func(s *corev1.ServiceSpec) { s.LoadBalancerIP = "192.0.2.2" })
	c.awaitAddress("asks", "192.0.2.2")
	// What somebody else writes into the status doesn't last.
	must(services.Patch(c.ctx, "asks", types.MergePatchType, []byte(`{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}}`), metav1.PatchOptions{}, "status"))(t)
	c.awaitAddress("asks", "192.0.2.2")
	c.awaitAddress("late", "192.0.2.1")
	if classed := must(services.Get(c.ctx, "classed", metav1.GetOptions{}))(t); len(classed.Finalizers) != 0 || len(classed.Status.LoadBalancer.Ingress) != 0 {
		t.Errorf("one with a class was touched: %+v", classed)
	}
}

func TestLoadBalancersWithoutPoolStayPending(t *testing.T) {
	c := start(t, nil, "service")
	c.balanced("a")
	if message := c.awaitEvent("default", "a", "SyncLoadBalancerFailed").Message; !strings.Contains(message, "--service-load-balancer-pool") {
		t.Error(message)
	}
	c.awaitAddress("a", "")
}
