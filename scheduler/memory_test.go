package scheduler

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
)

// What the scheduler keeps of a large cluster beside the informers, which are
// shared, is bounded.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector, with which short tests run, needs memory itself")
	}
	const nodes, pods, most = 1000, 30000, 300 << 20
	a := newAPI(t)
	for i := range nodes {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("node-", i), Labels: map[string]string{
			corev1.LabelHostname: fmt.Sprint("node-", i), corev1.LabelTopologyZone: fmt.Sprint("zone-", i%3),
		}}}
		node.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("32"), corev1.ResourceMemory: resource.MustParse("128Gi"), corev1.ResourcePods: resource.MustParse("110")}
		if err := a.Tracker().Add(node); err != nil {
			t.Fatal(err)
		}
	}
	for i := range pods {
		pod := newPod(fmt.Sprint("pod-", i), "100m")
		app := map[string]string{"app": fmt.Sprint("app-", i%100)}
		pod.Labels, pod.Spec.NodeName = app, fmt.Sprint("node-", i%nodes)
		if i%2 == 0 {
			pod.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: &metav1.LabelSelector{MatchLabels: app}}}
		}
		if i%10 == 0 {
			pod.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
				{LabelSelector: &metav1.LabelSelector{MatchLabels: app}, TopologyKey: corev1.LabelHostname},
			}}}
		}
		if err := a.Tracker().Add(pod); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	factory := informers.NewSharedInformerFactory(a.Clientset, 0)
	factory.Core().V1().Pods().Informer()
	factory.Core().V1().Nodes().Informer()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	before := heap()
	s, stop := a.start(func(o *Options) { o.Informers = factory })
	defer func() {
		cancel()
		stop()
	}()
	a.addPod("last", "100m", nil)
	a.await("another pod has a node", func() bool { return a.node("last") != "" })
	after := heap()
	s.lock()
	defer s.mu.Unlock()
	if s.cluster.Pods() < pods || len(s.cluster.Nodes()) != nodes {
		t.Errorf("it knows of %d pods and %d nodes", s.cluster.Pods(), len(s.cluster.Nodes()))
	}
	t.Logf("%d MB for %d nodes and %d pods", (after-before)>>20, nodes, pods)
	if after-before > most {
		t.Errorf("it keeps %d MB, more than %d", (after-before)>>20, most>>20)
	}
}

// heap is how much is in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
