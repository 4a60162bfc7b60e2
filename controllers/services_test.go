//lint:file-ignore SA1019 Endpoints are deprecated, and kept for those who still read them

package controllers_test

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// awaitSlices watches a Service's EndpointSlices until their endpoints, sorted,
// are as wanted.
func (c *cluster) awaitSlices(namespace, service string, want ...string) {
	c.Helper()
	watcher := must(c.client.DiscoveryV1().EndpointSlices(namespace).Watch(c.ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service}))(c)
	defer watcher.Stop()
	known := map[types.UID][]string{}
	var got []string
	for event := range watcher.ResultChan() {
		slice := event.Object.(*discoveryv1.EndpointSlice)
		known[slice.UID] = nil
		if event.Type != "DELETED" {
			for _, e := range slice.Endpoints {
				known[slice.UID] = append(known[slice.UID], fmt.Sprintf("%s:%d ready=%v", e.Addresses[0], ptr.Deref(slice.Ports[0].Port, 0), *e.Conditions.Ready))
			}
		}
		got = nil
		for _, endpoints := range known {
			got = append(got, endpoints...)
		}
		if slices.Sort(got); slices.Equal(got, want) {
			return
		}
	}
	c.Fatalf("the slices of %s have %q, not %q", service, got, want)
}

// runPod makes a pod on a node, as its kubelet would, and says whether it is
// ready.
func (c *cluster) runPod(namespace, name, ip string, ready corev1.ConditionStatus) {
	c.Helper()
	pods := c.client.CoreV1().Pods(namespace)
	p := must(pods.Create(c.ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{NodeName: "worker", Containers: []corev1.Container{{Name: "main", Image: "web"}}, TerminationGracePeriodSeconds: ptr.To[int64](0)},
	}, metav1.CreateOptions{}))(c)
	p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
	must(pods.UpdateStatus(c.ctx, p, metav1.UpdateOptions{}))(c)
}

func TestEndpointsFollowPods(t *testing.T) {
	c := start(t, nil, "serviceaccount", "endpoint", "endpointslice", "garbagecollector")
	ns := c.namespace("web")
	await(c, c.client.CoreV1().ServiceAccounts(ns), "default", func(*corev1.ServiceAccount) bool { return true })
	must(c.client.CoreV1().Nodes().Create(c.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker"}}, metav1.CreateOptions{}))(t)
	services, endpoints, pods := c.client.CoreV1().Services(ns), c.client.CoreV1().Endpoints(ns), c.client.CoreV1().Pods(ns)
	must(services.Create(c.ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{"team": "a"}},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{}))(t)
	c.awaitSlices(ns, "web")
	await(c, endpoints, "web", func(e *corev1.Endpoints) bool { return len(e.Subsets) == 0 && e.Labels["team"] == "a" })

	c.runPod(ns, "a", "10.0.0.1", corev1.ConditionTrue)
	c.runPod(ns, "b", "10.0.0.2", corev1.ConditionFalse)
	c.awaitSlices(ns, "web", "10.0.0.1:80 ready=true", "10.0.0.2:80 ready=false")
	await(c, endpoints, "web", func(e *corev1.Endpoints) bool {
		return len(e.Subsets) == 1 && len(e.Subsets[0].Addresses) == 1 && len(e.Subsets[0].NotReadyAddresses) == 1
	})

	must(pods.Patch(c.ctx, "b", types.StrategicMergePatchType, []byte(`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`), metav1.PatchOptions{}, "status"))(t)
	c.awaitSlices(ns, "web", "10.0.0.1:80 ready=true", "10.0.0.2:80 ready=true")
	// A pod that is labelled away is somebody else's.
	must(pods.Patch(c.ctx, "a", types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"db"}}}`), metav1.PatchOptions{}))(t)
	c.awaitSlices(ns, "web", "10.0.0.2:80 ready=true")
	must(services.Patch(c.ctx, "web", types.MergePatchType, []byte(`{"spec":{"ports":[{"port":81}],"selector":{"app":"db"}},"metadata":{"labels":{"team":"b"}}}`), metav1.PatchOptions{}))(t)
	c.awaitSlices(ns, "web", "10.0.0.1:81 ready=true")
	await(c, endpoints, "web", func(e *corev1.Endpoints) bool {
		return e.Labels["team"] == "b" && len(e.Subsets) == 1 && e.Subsets[0].Ports[0].Port == 81
	})

	// What somebody deletes comes back.
	before := must(endpoints.Get(c.ctx, "web", metav1.GetOptions{}))(t)
	if err := endpoints.Delete(c.ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(c, endpoints, "web", func(e *corev1.Endpoints) bool { return e.UID != before.UID })
	if err := c.client.DiscoveryV1().EndpointSlices(ns).DeleteCollection(c.ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	c.awaitSlices(ns, "web", "10.0.0.1:81 ready=true")
	slice := must(c.client.DiscoveryV1().EndpointSlices(ns).List(c.ctx, metav1.ListOptions{}))(t).Items[0]
	if err := services.Delete(c.ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitGone(c, endpoints, "web")
	awaitGone(c, c.client.DiscoveryV1().EndpointSlices(ns), slice.Name)
}

func TestEndpointsAreMirrored(t *testing.T) {
	c := start(t, nil, "endpoint", "endpointslice", "endpointslicemirroring")
	services, endpoints := c.client.CoreV1().Services("default"), c.client.CoreV1().Endpoints("default")
	must(services.Create(c.ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 5432}}}}, metav1.CreateOptions{}))(t)
	must(endpoints.Create(c.ctx, &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Subsets:    []corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: "10.9.0.1"}}, Ports: []corev1.EndpointPort{{Port: 5432}}}},
	}, metav1.CreateOptions{}))(t)
	c.awaitSlices("default", "db", "10.9.0.1:5432 ready=true")
	must(endpoints.Patch(c.ctx, "db", types.MergePatchType, []byte(`{"subsets":[{"addresses":[{"ip":"10.9.0.2"}],"notReadyAddresses":[{"ip":"10.9.0.3"}],"ports":[{"port":5433}]}]}`), metav1.PatchOptions{}))(t)
	c.awaitSlices("default", "db", "10.9.0.2:5433 ready=true", "10.9.0.3:5433 ready=false")
	// With a selector it is the other controllers' again.
	must(services.Patch(c.ctx, "db", types.MergePatchType, []byte(`{"spec":{"selector":{"app":"db"}}}`), metav1.PatchOptions{}))(t)
	c.awaitSlices("default", "db")
}
