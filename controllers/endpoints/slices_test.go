package endpoints

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/endpointslice"
	"k8s.io/endpointslice/topologycache"
	endpointsliceutil "k8s.io/endpointslice/util"
	"k8s.io/klog/v2"
)

func TestSelecting(t *testing.T) {
	services := informers.NewSharedInformerFactory(fake.NewSimpleClientset(), 0).Core().V1().Services().Informer()
	if _, err := behind(services, nil); err != nil {
		t.Fatal(err)
	}
	for name, selector := range map[string]map[string]string{
		"none": nil, "web": {"app": "web"}, "tier": {"app": "web", "tier": "front"}, "other": {"tier": "back"},
	} {
		if err := services.GetStore().Add(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}, Spec: corev1.ServiceSpec{Selector: selector}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		namespace string
		labels    map[string]string
		want      string
	}{
		{"a", map[string]string{"app": "web"}, "[a/web]"},
		{"a", map[string]string{"app": "web", "tier": "back"}, "[a/other a/web]"},
		{"a", map[string]string{"app": "web", "tier": "front"}, "[a/tier a/web]"},
		{"a", nil, "[]"},
		{"b", map[string]string{"app": "web"}, "[]"},
	} {
		got := selecting(services, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: test.namespace, Labels: test.labels}})
		if text := sorted(got); text != test.want {
			t.Errorf("%s %v: %s, want %s", test.namespace, test.labels, text, test.want)
		}
	}
}

func aPod(i int, ready bool) *corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	ip := fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("web-", i), UID: types.UID(fmt.Sprint("uid-", i)), Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{NodeName: fmt.Sprint("node-", i%100)},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}},
		},
	}
}

func aService() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "uid"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.9", IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolTCP}},
		},
	}
}

// BenchmarkOneOf5000 is a change of one pod of a Service of 5,000.
func BenchmarkOneOf5000(b *testing.B) {
	const pods = 5000
	client := fake.NewSimpleClientset()
	factory := informers.NewSharedInformerFactory(client, 0)
	core, known := factory.Core().V1(), factory.Discovery().V1().EndpointSlices()
	x := &sliceController{
		services: core.Services().Lister(), pods: core.Pods().Lister(), nodes: core.Nodes().Lister(), slices: known.Lister(),
		tracker: endpointsliceutil.NewEndpointSliceTracker(), triggers: endpointsliceutil.NewTriggerTimeTracker(), topology: topologycache.NewTopologyCache(),
		events: record.NewFakeRecorder(10), log: klog.Background(),
	}
	x.reconciler = endpointslice.NewReconciler(client, x.nodes, 100, x.tracker, x.topology, x.events, slicesManager)
	add := func(store cache.Store, object any) {
		if err := store.Add(object); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 100 {
		add(core.Nodes().Informer().GetStore(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("node-", i)}})
	}
	for i := range pods {
		add(core.Pods().Informer().GetStore(), aPod(i, true))
	}
	add(core.Services().Informer().GetStore(), aService())
	key := cache.ObjectName{Namespace: "default", Name: "web"}
	// What is written is seen at once; the fake client makes no names.
	for _, verb := range []string{"create", "update"} {
		client.PrependReactor(verb, "endpointslices", func(action clienttesting.Action) (bool, runtime.Object, error) {
			slice := action.(clienttesting.CreateAction).GetObject().(*discoveryv1.EndpointSlice)
			if slice.Name == "" {
				slice.Name = fmt.Sprint("web-", len(known.Informer().GetStore().ListKeys()))
			}
			add(known.Informer().GetStore(), slice)
			return true, slice, nil
		})
	}
	if err := x.sync(b.Context(), key); err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		add(core.Pods().Informer().GetStore(), aPod(i%pods, i/pods%2 == 1))
		if err := x.sync(b.Context(), key); err != nil {
			b.Fatal(err)
		}
	}
}

func sorted(names []cache.ObjectName) string {
	text := make([]string, len(names))
	for i, name := range names {
		text[i] = name.String()
	}
	slices.Sort(text)
	return fmt.Sprint(text)
}
