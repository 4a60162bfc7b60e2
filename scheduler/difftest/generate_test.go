package difftest

import (
	"fmt"
	"math/rand/v2"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// A world is a generated cluster with pods to place in it.
type world struct {
	nodes      []*corev1.Node
	running    []*corev1.Pod
	nominated  []*corev1.Pod
	pending    []*corev1.Pod
	namespaces []*corev1.Namespace
	services   []*corev1.Service
	sets       []*appsv1.ReplicaSet
	budgets    []*policyv1.PodDisruptionBudget
	storage    storage
	devices    devices
}

var birth = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

type generator struct {
	*rand.Rand
	names int
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

func generate(seed uint64) *world {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
	w := &world{}
	for i := range 3 {
		w.namespaces = append(w.namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("ns%d", i), Labels: map[string]string{"team": fmt.Sprintf("t%d", i%2)},
		}})
	}
	for range 1 + g.IntN(12) {
		w.nodes = append(w.nodes, g.node())
	}
	for range g.IntN(3) {
		w.services = append(w.services, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace(), Name: g.name("svc")}, Spec: corev1.ServiceSpec{Selector: g.labels(1)},
		})
	}
	for range g.IntN(3) {
		w.sets = append(w.sets, &appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace(), Name: g.name("rs")}, Spec: appsv1.ReplicaSetSpec{Selector: g.selector()},
		})
	}
	for range g.IntN(3) {
		w.budgets = append(w.budgets, &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace(), Name: g.name("pdb")},
			Spec:       policyv1.PodDisruptionBudgetSpec{Selector: g.selector()},
			Status:     policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: int32(g.IntN(3))},
		})
	}
	w.storage = g.storage(w)
	w.devices = g.devices(w)
	ported, single := map[string]bool{}, map[string]bool{}
	for range g.IntN(5 * len(w.nodes)) {
		pod := g.pod(w)
		g.mount(pod, &w.storage)
		pod.Spec.NodeName = pick(g, w.nodes...).Name
		if ported[pod.Spec.NodeName] { // two pods with one host port can't run on a node
			for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
				for i := range containers {
					containers[i].Ports = nil
				}
			}
		}
		ported[pod.Spec.NodeName] = true
		w.storage.dropUsed(pod, single)
		pod.Status.StartTime = &metav1.Time{Time: birth.Add(time.Duration(g.names) * time.Second)}
		if g.chance(8) {
			pod.DeletionTimestamp = &metav1.Time{Time: birth}
		}
		w.running = append(w.running, pod)
	}
	if g.chance(30) {
		for range 1 + g.IntN(3) {
			pod := g.pod(w)
			pod.Status.NominatedNodeName = pick(g, w.nodes...).Name
			w.nominated = append(w.nominated, pod)
		}
	}
	for range 4 {
		pod := g.pod(w)
		g.mount(pod, &w.storage)
		g.claim(pod, &w.devices)
		w.pending = append(w.pending, pod)
	}
	return w
}

func (g *generator) name(prefix string) string {
	g.names++
	return fmt.Sprintf("%s-%d", prefix, g.names)
}

func (g *generator) namespace() string { return fmt.Sprintf("ns%d", g.IntN(3)) }

func (g *generator) labels(n int) map[string]string {
	set := map[string]string{}
	for range n {
		set[pick(g, "app", "tier", "track")] = pick(g, "a", "b")
	}
	return set
}

func (g *generator) selector() *metav1.LabelSelector {
	if g.chance(70) {
		return &metav1.LabelSelector{MatchLabels: g.labels(1)}
	}
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: pick(g, "app", "tier", "track"), Operator: pick(g, metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn), Values: []string{"a"},
	}}}
}

func (g *generator) node() *corev1.Node {
	name := g.name("node")
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"disk": pick(g, "ssd", "hdd"), "size": pick(g, "3", "7")}}}
	if g.chance(90) {
		node.Labels[corev1.LabelHostname] = name
	}
	if g.chance(85) {
		node.Labels[corev1.LabelTopologyZone] = pick(g, "z1", "z2", "z3")
	}
	if g.chance(60) {
		node.Labels["rack"] = pick(g, "r1", "r2")
	}
	node.Status.Allocatable = corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewMilliQuantity(int64(500*(1+g.IntN(8))), resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(int64(1+g.IntN(8))<<30, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(int64(pick(g, 2, 5, 110, 110)), resource.DecimalSI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(int64(g.IntN(20))<<30, resource.BinarySI),
	}
	if g.chance(30) {
		node.Status.Allocatable["example.com/gpu"] = *resource.NewQuantity(int64(g.IntN(4)), resource.DecimalSI)
	}
	if g.chance(15) {
		node.Status.Allocatable["hugepages-2Mi"] = resource.MustParse("64Mi")
	}
	if g.chance(3) {
		node.Status.Allocatable = nil
	}
	node.Spec.Unschedulable = g.chance(8)
	for range g.IntN(3) {
		if g.chance(50) {
			node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{
				Key: pick(g, "dedicated", "spot"), Value: pick(g, "x", "y"),
				Effect: pick(g, corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute),
			})
		}
	}
	for i := range 4 {
		if g.chance(50) {
			node.Status.Images = append(node.Status.Images, corev1.ContainerImage{
				Names: []string{fmt.Sprintf("registry/image%d:latest", i), fmt.Sprintf("registry/image%d@sha256:1", i)}, SizeBytes: int64(i+1) * 250 << 20,
			})
		}
	}
	if g.chance(20) {
		node.Status.DeclaredFeatures = []string{"RestartAllContainersOnContainerExits"}
	}
	return node
}

func (g *generator) pod(w *world) *corev1.Pod {
	name := g.name("pod")
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace(), Name: name, UID: types.UID(name), Labels: g.labels(g.IntN(3))}}
	pod.Spec.SchedulerName = corev1.DefaultSchedulerName
	for i := range 1 + g.IntN(2) {
		pod.Spec.Containers = append(pod.Spec.Containers, g.container(fmt.Sprintf("c%d", i)))
	}
	if g.chance(25) {
		container := g.container("init")
		if g.chance(50) {
			container.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
		}
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, container)
	}
	if g.chance(8) {
		pod.Spec.Overhead = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
	}
	if g.chance(8) {
		pod.Spec.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi")}}
	}
	pod.Spec.Priority = ptr.To(int32(g.IntN(4) * 10))
	if g.chance(10) {
		pod.Spec.PreemptionPolicy = ptr.To(corev1.PreemptNever)
	}
	for range g.IntN(3) {
		pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
			Key: pick(g, "dedicated", "spot", "dedicated", corev1.TaintNodeUnschedulable, ""), Operator: pick(g, corev1.TolerationOpExists, corev1.TolerationOpEqual), Value: pick(g, "x", "y", ""),
			Effect: pick(g, corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, ""),
		})
	}
	if g.chance(12) {
		pod.Spec.NodeSelector = map[string]string{"disk": pick(g, "ssd", "hdd")}
	}
	g.affinity(pod, w)
	if g.chance(35) {
		for range 1 + g.IntN(2) {
			pod.Spec.TopologySpreadConstraints = append(pod.Spec.TopologySpreadConstraints, g.constraint())
		}
	}
	if len(w.sets) > 0 && g.chance(40) {
		owner := pick(g, w.sets...)
		pod.Namespace = owner.Namespace
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: owner.Name, Controller: ptr.To(true)}}
	}
	return pod
}

func (g *generator) container(name string) corev1.Container {
	c := corev1.Container{Name: name, Image: fmt.Sprintf("registry/image%d", g.IntN(5))}
	c.Resources.Requests = corev1.ResourceList{}
	if g.chance(75) {
		c.Resources.Requests[corev1.ResourceCPU] = *resource.NewMilliQuantity(int64(g.IntN(15))*100, resource.DecimalSI)
	}
	if g.chance(75) {
		c.Resources.Requests[corev1.ResourceMemory] = *resource.NewQuantity(int64(g.IntN(3000))<<20, resource.BinarySI)
	}
	if g.chance(15) {
		c.Resources.Requests[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(int64(g.IntN(8))<<30, resource.BinarySI)
	}
	if g.chance(8) {
		c.Resources.Requests["example.com/gpu"] = *resource.NewQuantity(int64(g.IntN(3)), resource.DecimalSI)
	}
	if g.chance(4) {
		c.Resources.Requests["hugepages-2Mi"] = resource.MustParse("32Mi")
	}
	if g.chance(12) {
		c.Ports = append(c.Ports, corev1.ContainerPort{
			ContainerPort: 80, HostPort: int32(8080 + g.IntN(2)), HostIP: pick(g, "", "", "127.0.0.1", "0.0.0.0"), Protocol: pick(g, corev1.ProtocolTCP, corev1.ProtocolUDP),
		})
	}
	return c
}

func (g *generator) affinity(pod *corev1.Pod, w *world) {
	affinity := &corev1.Affinity{}
	if g.chance(15) {
		affinity.NodeAffinity = &corev1.NodeAffinity{}
		if g.chance(50) {
			affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: g.nodeTerms(w)}
		}
		for range g.IntN(3) {
			affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution = append(affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution,
				corev1.PreferredSchedulingTerm{Weight: int32(1 + g.IntN(100)), Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{g.nodeRequirement()}}})
		}
	}
	terms := func(percent int) (required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
		for g.chance(percent) {
			required = append(required, g.podTerm())
		}
		for g.chance(percent) {
			preferred = append(preferred, corev1.WeightedPodAffinityTerm{Weight: int32(1 + g.IntN(100)), PodAffinityTerm: g.podTerm()})
		}
		return required, preferred
	}
	if required, preferred := terms(9); len(required)+len(preferred) > 0 {
		affinity.PodAffinity = &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: required, PreferredDuringSchedulingIgnoredDuringExecution: preferred}
	}
	if required, preferred := terms(9); len(required)+len(preferred) > 0 {
		affinity.PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: required, PreferredDuringSchedulingIgnoredDuringExecution: preferred}
	}
	if *affinity != (corev1.Affinity{}) {
		pod.Spec.Affinity = affinity
	}
}

func (g *generator) nodeTerms(w *world) []corev1.NodeSelectorTerm {
	if g.chance(25) { // as DaemonSets do
		return []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{
			Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{pick(g, w.nodes...).Name},
		}}}}
	}
	var terms []corev1.NodeSelectorTerm
	for range 1 + g.IntN(2) {
		terms = append(terms, corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{g.nodeRequirement()}})
	}
	return terms
}

func (g *generator) nodeRequirement() corev1.NodeSelectorRequirement {
	switch g.IntN(4) {
	case 0:
		return corev1.NodeSelectorRequirement{Key: "size", Operator: pick(g, corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt), Values: []string{"5"}}
	case 1:
		return corev1.NodeSelectorRequirement{Key: "rack", Operator: pick(g, corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist)}
	}
	return corev1.NodeSelectorRequirement{Key: pick(g, "disk", corev1.LabelTopologyZone), Operator: pick(g, corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn), Values: []string{pick(g, "ssd", "z1")}}
}

func (g *generator) podTerm() corev1.PodAffinityTerm {
	term := corev1.PodAffinityTerm{LabelSelector: g.selector(), TopologyKey: pick(g, corev1.LabelHostname, corev1.LabelTopologyZone, "rack")}
	switch g.IntN(5) {
	case 0:
		term.Namespaces = []string{g.namespace()}
	case 1:
		term.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": pick(g, "t0", "t1")}}
	case 2:
		term.NamespaceSelector = &metav1.LabelSelector{}
	}
	return term
}

func (g *generator) constraint() corev1.TopologySpreadConstraint {
	c := corev1.TopologySpreadConstraint{
		MaxSkew: int32(1 + g.IntN(3)), TopologyKey: pick(g, corev1.LabelHostname, corev1.LabelTopologyZone, corev1.LabelTopologyZone, "rack"),
		WhenUnsatisfiable: pick(g, corev1.DoNotSchedule, corev1.ScheduleAnyway), LabelSelector: g.selector(),
	}
	if g.chance(25) {
		c.NodeAffinityPolicy = ptr.To(pick(g, corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore))
		c.NodeTaintsPolicy = ptr.To(pick(g, corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore))
	}
	if g.chance(20) {
		c.MatchLabelKeys = []string{"tier"}
	}
	if c.WhenUnsatisfiable == corev1.DoNotSchedule && g.chance(20) {
		c.MinDomains = ptr.To(int32(1 + g.IntN(4)))
	}
	return c
}
