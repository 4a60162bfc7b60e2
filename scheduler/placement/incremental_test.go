package placement

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/howdah/howdah/scheduler/state"
)

func testNode(name string, g *rand.Rand) *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelHostname: name, corev1.LabelTopologyZone: fmt.Sprintf("z%d", g.IntN(3)),
	}}}
	if g.IntN(5) == 0 {
		delete(node.Labels, corev1.LabelTopologyZone)
	}
	node.Status.Allocatable = corev1.ResourceList{
		corev1.ResourceCPU: *resource.NewQuantity(int64(1+g.IntN(8)), resource.DecimalSI), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("10"),
	}
	if g.IntN(4) == 0 {
		node.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectPreferNoSchedule}}
	}
	if g.IntN(3) == 0 {
		node.Status.Images = []corev1.ContainerImage{{Names: []string{"image:latest"}, SizeBytes: 500 << 20}}
	}
	return node
}

func testPod(n int, g *rand.Rand) *state.Pod {
	name := fmt.Sprintf("pod-%d", n)
	app := map[string]string{"app": fmt.Sprintf("a%d", g.IntN(3))}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("ns%d", g.IntN(2)), Name: name, UID: types.UID(name), Labels: app}}
	pod.Spec.Containers = []corev1.Container{{Name: "c", Image: "image", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: *resource.NewMilliQuantity(int64(g.IntN(4))*250, resource.DecimalSI),
	}}}}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprintf("a%d", g.IntN(3))}}
	key := []string{corev1.LabelHostname, corev1.LabelTopologyZone}[g.IntN(2)]
	term := corev1.PodAffinityTerm{LabelSelector: selector, TopologyKey: key}
	switch g.IntN(7) {
	case 0:
		pod.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term}}}
	case 1:
		pod.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term}}}
	case 2:
		pod.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 5, PodAffinityTerm: term}}}}
	case 3, 4:
		action := []corev1.UnsatisfiableConstraintAction{corev1.DoNotSchedule, corev1.ScheduleAnyway}[g.IntN(2)]
		pod.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: action, LabelSelector: selector}}
	}
	return state.NewPod(pod)
}

func testPlacer(t testing.TB, cluster *state.Cluster) *Placer {
	t.Helper()
	p, err := New(Options{Config: DefaultConfig(), Cluster: cluster, Version: version.MustParse("1.37.2"), Random: rand.New(rand.NewPCG(1, 1))})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What a placer keeps from earlier decisions changes none: after any change one
// that has seen all the changes says what one says that starts now.
func TestKeptStateIsCurrent(t *testing.T) {
	for seed := range uint64(60) {
		g := rand.New(rand.NewPCG(seed, 7))
		cluster := state.NewCluster()
		cluster.SetNamespace("ns0", labels.Set{"team": "a"})
		old := testPlacer(t, cluster)
		var incoming []*state.Pod
		for i := range 6 {
			incoming = append(incoming, testPod(1000+i, g))
		}
		var pods []*state.Pod
		for step := range 150 {
			switch g.IntN(10) {
			case 0, 1:
				cluster.SetNode(testNode(fmt.Sprintf("node-%d", g.IntN(12)), g))
			case 2:
				cluster.RemoveNode(fmt.Sprintf("node-%d", g.IntN(12)))
			case 3, 4:
				if len(pods) > 0 {
					i := g.IntN(len(pods))
					cluster.RemovePod(pods[i].UID())
					pods = append(pods[:i], pods[i+1:]...)
				}
			case 5:
				cluster.SetNamespace("ns1", labels.Set{"team": fmt.Sprint(g.IntN(2))})
			default:
				pod := testPod(step, g)
				pods = append(pods, pod)
				cluster.AddPod(pod, fmt.Sprintf("node-%d", g.IntN(12)))
			}
			pod := incoming[g.IntN(len(incoming))]
			got, status := old.Explain(pod)
			want, wantStatus := testPlacer(t, cluster).Explain(pod)
			if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(status, wantStatus) {
				t.Fatalf("seed %d, step %d:\n%+v %+v, expected\n%+v %+v", seed, step, got, status, want, wantStatus)
			}
		}
	}
}

// Asking what if leaves no trace.
func TestPreemptionLeavesNoTrace(t *testing.T) {
	for seed := range uint64(40) {
		g := rand.New(rand.NewPCG(seed, 8))
		cluster := state.NewCluster()
		for i := range 5 {
			cluster.SetNode(testNode(fmt.Sprintf("node-%d", i), g))
		}
		for i := range 30 {
			cluster.AddPod(testPod(i, g), fmt.Sprintf("node-%d", g.IntN(5)))
		}
		placer := testPlacer(t, cluster)
		for i := range 10 {
			pod := testPod(100+i, g)
			pod.Priority = 10
			before, _ := placer.Explain(pod)
			if _, diagnosis := placer.Find(pod); diagnosis != nil {
				placer.Preempt(pod, diagnosis, nil, metav1.Now().Time)
			}
			after, _ := placer.Explain(pod)
			if !reflect.DeepEqual(before, after) {
				t.Fatalf("seed %d:\n%+v, expected\n%+v", seed, after, before)
			}
		}
	}
}

func TestDiagnosis(t *testing.T) {
	node := func(name string, change func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourcePods: resource.MustParse("10")}
		change(n)
		return n
	}
	cluster := state.NewCluster()
	cluster.SetNode(node("a", func(*corev1.Node) {}))
	cluster.SetNode(node("b", func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}} }))
	cluster.SetNode(node("c", func(n *corev1.Node) { n.Status.Allocatable = nil }))
	big := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "big", UID: "big"}}
	big.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}}}}
	_, diagnosis := testPlacer(t, cluster).Find(state.NewPod(big))
	const want = "0/3 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint(s), 2 Insufficient cpu."
	if diagnosis == nil || diagnosis.String() != want {
		t.Errorf("%v, expected %s", diagnosis, want)
	}
	_, diagnosis = testPlacer(t, state.NewCluster()).Find(state.NewPod(big))
	if diagnosis == nil || diagnosis.String() != NoNodes {
		t.Errorf("%v, expected %s", diagnosis, NoNodes)
	}
}

// Odd input is decided, not crashed on.
func TestOddInput(t *testing.T) {
	cluster := state.NewCluster()
	for i, quantity := range []string{"0", "-5", "9223372036854775807", "1e30", "1n"} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i), Labels: map[string]string{}}}
		node.Status.Allocatable = corev1.ResourceList{}
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourcePods, corev1.ResourceEphemeralStorage, "example.com/x"} {
			node.Status.Allocatable[name] = resource.MustParse(quantity)
		}
		for label := range 1000 * (i % 2) {
			node.Labels[fmt.Sprint(label)] = ""
		}
		cluster.SetNode(node)
	}
	placer := testPlacer(t, cluster)
	for i, quantity := range []string{"0", "-5", "9223372036854775807", "1e30", "1n", "3"} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i), UID: types.UID(fmt.Sprint(i))}}
		requests := corev1.ResourceList{}
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage, "example.com/x"} {
			requests[name] = resource.MustParse(quantity)
		}
		pod.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: requests}}, {Resources: corev1.ResourceRequirements{Requests: requests}}}
		made := state.NewPod(pod)
		if choice, diagnosis := placer.Find(made); diagnosis == nil {
			cluster.AddPod(made, choice.Node)
		} else {
			placer.Preempt(made, diagnosis, nil, metav1.Now().Time)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	for _, nodes := range []int{1000, 5000} {
		for _, shape := range []string{"plain", "spread", "anti-affinity"} {
			b.Run(fmt.Sprintf("%s-%d", shape, nodes), func(b *testing.B) { benchmarkFind(b, nodes, shape) })
		}
	}
}

func benchmarkFind(b *testing.B, nodes int, shape string) {
	cluster := state.NewCluster()
	for i := range nodes {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i), Labels: map[string]string{corev1.LabelHostname: fmt.Sprint(i), corev1.LabelTopologyZone: fmt.Sprint(i % 3)}}}
		node.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1000"), corev1.ResourceMemory: resource.MustParse("1000Gi"), corev1.ResourcePods: resource.MustParse("100000")}
		cluster.SetNode(node)
	}
	placer := testPlacer(b, cluster)
	for n := 0; b.Loop(); n++ {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprint(n), UID: types.UID(fmt.Sprint(n)), Labels: map[string]string{"app": fmt.Sprint(n % 10)}}}
		pod.Spec.Containers = []corev1.Container{{Image: "x", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}}}}
		selector := &metav1.LabelSelector{MatchLabels: pod.Labels}
		switch shape {
		case "spread":
			pod.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: selector}}
		case "anti-affinity":
			pod.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 1, PodAffinityTerm: corev1.PodAffinityTerm{LabelSelector: selector, TopologyKey: corev1.LabelHostname}}}}}
		}
		made := state.NewPod(pod)
		choice, diagnosis := placer.Find(made)
		if diagnosis != nil {
			b.Fatal(diagnosis)
		}
		cluster.AddPod(made, choice.Node)
	}
}
