package daemonset

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// rolling is a DaemonSet that may surge, or have unavailable, that many.
func rolling(surge, unavailable string) *appsv1.DaemonSet {
	s, u := intstr.Parse(surge), intstr.Parse(unavailable)
	ds := &appsv1.DaemonSet{}
	ds.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType, RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxSurge: &s, MaxUnavailable: &u}}
	return ds
}

func node(name string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}}}
	for _, c := range change {
		c(n)
	}
	return n
}

func tainted(key string, effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: effect}) }
}

// aPod reads "name node state hash": state is ready, unready, failed, done or
// going.
func aPod(text string) *corev1.Pod {
	words := strings.Fields(text)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: words[0], Labels: map[string]string{appsv1.DefaultDaemonSetUniqueLabelKey: words[3]}}}
	p.Spec.NodeName, p.Status.Phase = words[1], corev1.PodRunning
	switch words[2] {
	case "ready":
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Hour))}}
	case "failed":
		p.Status.Phase = corev1.PodFailed
	case "done":
		p.Status.Phase = corev1.PodSucceeded
	case "going":
		p.DeletionTimestamp = &metav1.Time{Time: now}
	case "unscheduled":
		p.Spec.NodeName = ""
		p.Spec.Affinity = templateFor(&appsv1.DaemonSet{}, "new", words[1]).Spec.Affinity
	}
	return p
}

func (c change) String() string {
	var removed []string
	for _, p := range c.remove {
		removed = append(removed, p.Name)
	}
	slices.Sort(removed)
	return fmt.Sprintf("create %v remove %v", c.create, removed)
}

func lookAt(ds *appsv1.DaemonSet, nodes []*corev1.Node, pods ...string) *look {
	var all []*corev1.Pod
	for _, text := range pods {
		all = append(all, aPod(text))
	}
	return newLook(ds, "new", nodes, all, now)
}

func TestPlace(t *testing.T) {
	never := func(string, *corev1.Pod) bool { return false }
	always := func(string, *corev1.Pod) bool { return true }
	for _, test := range []struct {
		name  string
		ds    *appsv1.DaemonSet
		nodes []*corev1.Node
		pods  []string
		hold  func(string, *corev1.Pod) bool
		want  string
	}{
		{"on each node", rolling("0", "1"), []*corev1.Node{node("a"), node("b")}, nil, never, "create [a b] remove []"},
		{"where one is missing", rolling("0", "1"), []*corev1.Node{node("a"), node("b")}, []string{"p a ready new"}, never, "create [b] remove []"},
		{"not while one is going", rolling("0", "1"), []*corev1.Node{node("a")}, []string{"p a going new"}, never, "create [] remove []"},
		{"too many on a node", rolling("0", "1"), []*corev1.Node{node("a")}, []string{"p a ready new", "q a ready new"}, never, "create [] remove [q]"},
		{"not on one it can't be on", rolling("0", "1"), []*corev1.Node{node("a", tainted("x", corev1.TaintEffectNoExecute))}, []string{"p a ready new"}, never, "create [] remove [p]"},
		{"stays where it couldn't come", rolling("0", "1"), []*corev1.Node{node("a", tainted("x", corev1.TaintEffectNoSchedule)), node("b", tainted("x", corev1.TaintEffectNoSchedule))}, []string{"p a ready new"}, never, "create [] remove []"},
		{"on nodes in trouble", rolling("0", "1"), []*corev1.Node{node("a", tainted(corev1.TaintNodeNotReady, corev1.TaintEffectNoExecute), tainted(corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule))}, nil, never, "create [a] remove []"},
		{"a failed one is replaced", rolling("0", "1"), []*corev1.Node{node("a")}, []string{"p a failed new"}, never, "create [] remove [p]"},
		{"but not at once again", rolling("0", "1"), []*corev1.Node{node("a")}, []string{"p a failed new"}, always, "create [] remove []"},
		{"a done one is replaced", rolling("0", "1"), []*corev1.Node{node("a")}, []string{"p a done new"}, always, "create [] remove [p]"},
		{"its node is gone before it was there", rolling("0", "1"), nil, []string{"p a unscheduled new", "q b ready new"}, never, "create [] remove [p]"},
		{"a pair stays while it surges", rolling("1", "0"), []*corev1.Node{node("a")}, []string{"p a ready old", "q a unready new"}, never, "create [] remove []"},
		{"a pair is resolved", rolling("1", "0"), []*corev1.Node{node("a")}, []string{"p a ready old", "q a ready new"}, never, "create [] remove [p]"},
		{"an old one that isn't ready gives way", rolling("1", "0"), []*corev1.Node{node("a")}, []string{"p a unready old", "q a unready new"}, never, "create [] remove [p]"},
		{"a third is too many", rolling("1", "0"), []*corev1.Node{node("a")}, []string{"p a ready old", "q a unready new", "r a unready new"}, never, "create [] remove [r]"},
		{"surging, an ended one is replaced beside one that is going", rolling("1", "0"), []*corev1.Node{node("a")}, []string{"p a going old"}, never, "create [a] remove []"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := lookAt(test.ds, test.nodes, test.pods...).place(test.hold).String(); got != test.want {
				t.Errorf("%s, not %s", got, test.want)
			}
		})
	}
}

func TestRoll(t *testing.T) {
	nodes := []*corev1.Node{node("a"), node("b"), node("c"), node("d")}
	all := []string{"p a ready old", "q b ready old", "r c ready old", "s d ready old"}
	for _, test := range []struct {
		name string
		ds   *appsv1.DaemonSet
		pods []string
		want string
	}{
		{"one at a time", rolling("0", "1"), all, "create [] remove [p]"},
		{"a share", rolling("0", "50%"), all, "create [] remove [p q]"},
		{"never none", rolling("0", "0"), all, "create [] remove [p]"},
		{"waits for the new one", rolling("0", "1"), []string{"p a unready new", "q b ready old", "r c ready old", "s d ready old"}, "create [] remove []"},
		{"old ones that are down go at once", rolling("0", "1"), []string{"p a unready old", "q b unready old", "r c ready old", "s d ready old"}, "create [] remove [p q]"},
		{"done", rolling("0", "1"), []string{"p a ready new", "q b ready new", "r c ready new", "s d ready new"}, "create [] remove []"},
		{"surges", rolling("2", "0"), all, "create [a b] remove []"},
		{"no more than the surge", rolling("2", "0"), append([]string{"x a unready new", "y b unready new"}, all...), "create [] remove []"},
		{"the old one goes when the new one is there", rolling("2", "0"), append([]string{"x a ready new"}, all...), "create [b c] remove [p]"},
		{"surges for all that are down", rolling("1", "0"), []string{"p a unready old", "q b unready old", "r c ready old", "s d ready old"}, "create [a b c] remove []"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := lookAt(test.ds, nodes, test.pods...).roll().String(); got != test.want {
				t.Errorf("%s, not %s", got, test.want)
			}
		})
	}
}

// TestRollKeepsItsBounds rolls by the decisions alone, with pods that become
// ready at random.
func TestRollKeepsItsBounds(t *testing.T) {
	for seed := range int64(300) {
		random := rand.New(rand.NewSource(seed))
		count, limit := 1+random.Intn(12), 1+random.Intn(4)
		surging := random.Intn(2) == 0
		ds := rolling("0", fmt.Sprint(limit))
		if surging {
			ds = rolling(fmt.Sprint(limit), "0")
		}
		var nodes []*corev1.Node
		pods := map[string]*corev1.Pod{}
		for i := range count {
			nodes = append(nodes, node(fmt.Sprint("n", i)))
			pods[fmt.Sprint("p", i)] = aPod(fmt.Sprintf("p%d n%d ready old", i, i))
		}
		serial := count
		for step := 0; ; step++ {
			if step > 1000 {
				t.Fatalf("seed %d: does not end", seed)
			}
			var list []*corev1.Pod
			up, done := map[string]bool{}, 0
			for _, p := range pods {
				list = append(list, p)
				if len(p.Status.Conditions) > 0 {
					up[p.Spec.NodeName] = true
					if p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] == "new" {
						done++
					}
				}
			}
			if down := count - len(up); !surging && down > limit || surging && down > 0 {
				t.Fatalf("seed %d: %d of %d nodes without a ready pod, with a limit of %d, surging %v", seed, down, count, limit, surging)
			}
			if extra := len(pods) - count; extra > 0 && (!surging || extra > limit) {
				t.Fatalf("seed %d: %d pods too many", seed, extra)
			}
			if done == count && len(pods) == count {
				break
			}
			l := newLook(ds, "new", nodes, list, now)
			c := l.place(func(string, *corev1.Pod) bool { return false })
			if c.nothing() {
				c = l.roll()
			}
			for _, p := range c.remove {
				delete(pods, p.Name)
			}
			for _, name := range c.create {
				serial++
				pods[fmt.Sprint("p", serial)] = aPod(fmt.Sprintf("p%d %s unready new", serial, name))
			}
			for name, p := range pods {
				if len(p.Status.Conditions) == 0 && random.Intn(2) == 0 {
					pods[name] = aPod(fmt.Sprintf("%s %s ready new", name, p.Spec.NodeName))
				}
			}
		}
	}
}

func TestStatus(t *testing.T) {
	ds := rolling("0", "1")
	ds.Generation = 3
	ds.Spec.Template.Spec.NodeSelector = map[string]string{"disk": "ssd"}
	ssd := func(n *corev1.Node) { n.Labels["disk"] = "ssd" }
	l := lookAt(ds, []*corev1.Node{node("a", ssd), node("b", ssd), node("c", ssd), node("d")}, "p a ready new", "q b unready old", "r d ready old")
	want := appsv1.DaemonSetStatus{DesiredNumberScheduled: 3, CurrentNumberScheduled: 2, NumberMisscheduled: 1, NumberReady: 1, NumberAvailable: 1, NumberUnavailable: 2, UpdatedNumberScheduled: 1, ObservedGeneration: 3}
	if got := l.status(); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("%+v, not %+v", got, want)
	}
}

func TestTemplate(t *testing.T) {
	ds := rolling("0", "1")
	ds.Annotations = map[string]string{appsv1.DeprecatedTemplateGeneration: "2"}
	ds.Spec.Template.Spec.HostNetwork = true
	ds.Spec.Template.Spec.Tolerations = []corev1.Toleration{{Key: "mine", Operator: corev1.TolerationOpExists}}
	ds.Spec.Template.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{}, {}}}}}
	template := templateFor(ds, "h", "n")
	if len(template.Spec.Tolerations) != 8 || template.Labels["controller-revision-hash"] != "h" || template.Labels["pod-template-generation"] != "2" {
		t.Errorf("%+v", template)
	}
	if got := targetOf(&corev1.Pod{Spec: template.Spec}); got != "n" {
		t.Errorf("for the node %q", got)
	}
	if len(ds.Spec.Template.Spec.Tolerations) != 1 || len(ds.Spec.Template.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms) != 2 {
		t.Error("changed the DaemonSet")
	}
}
