package pod

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

type change func(*corev1.Pod)

func aPod(name string, changes ...change) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))}}
	p.Spec.NodeName, p.Status.Phase = "node", corev1.PodRunning
	for _, c := range changes {
		c(p)
	}
	return p
}

func ready(since time.Duration) change {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-since))})
	}
}
func created(ago time.Duration) change {
	return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(now.Add(-ago)) }
}
func onNode(name string) change            { return func(p *corev1.Pod) { p.Spec.NodeName = name } }
func inPhase(phase corev1.PodPhase) change { return func(p *corev1.Pod) { p.Status.Phase = phase } }
func costs(n string) change {
	return func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.PodDeletionCost: n} }
}
func restarted(n int32) change {
	return func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: n}} }
}
func sidecarRestarted(n int32) change {
	return func(p *corev1.Pod) {
		always := corev1.ContainerRestartPolicyAlways
		p.Spec.InitContainers = []corev1.Container{{Name: "mesh", RestartPolicy: &always}}
		p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "mesh", RestartCount: n}, {Name: "setup", RestartCount: 99}}
	}
}

func TestOrder(t *testing.T) {
	crowded := func(p *corev1.Pod) int { return map[string]int{"crowded": 5, "node": 2}[p.Spec.NodeName] }
	for _, test := range []struct {
		name string
		rank func(*corev1.Pod) int
		pods []*corev1.Pod // in the order wanted
	}{
		{"by state", nil, []*corev1.Pod{
			aPod("unscheduled", onNode(""), inPhase(corev1.PodPending)),
			aPod("pending", inPhase(corev1.PodPending)),
			aPod("unknown", inPhase(corev1.PodUnknown)),
			aPod("unready"),
			aPod("ready", ready(time.Minute)),
		}},
		{"by cost before company", crowded, []*corev1.Pod{
			aPod("cheap", ready(time.Minute), costs("-5")),
			aPod("crowded", ready(time.Minute), onNode("crowded")),
			aPod("free", ready(time.Minute)),
			aPod("dear", ready(time.Minute), costs("100"), onNode("crowded")),
		}},
		{"without a rank cost doesn't count", nil, []*corev1.Pod{
			aPod("young", ready(time.Minute), costs("100")),
			aPod("old", ready(time.Hour)),
		}},
		{"the younger goes, by orders of magnitude", crowded, []*corev1.Pod{
			aPod("z-seconds", ready(time.Second)),
			aPod("a-minutes", ready(100*time.Second)),
			aPod("b-minutes", ready(90*time.Second)), // the same magnitude: by UID
			aPod("y-hours", ready(5*time.Hour)),
		}},
		{"by restarts, then by age", nil, []*corev1.Pod{
			aPod("restarted", ready(time.Minute), restarted(3), created(2*time.Hour)),
			aPod("sidecar", ready(time.Minute), sidecarRestarted(2), created(2*time.Hour)),
			aPod("young", ready(time.Minute), created(time.Hour)),
			aPod("old", ready(time.Minute), created(2*time.Hour)),
		}},
		{"an unknown time of becoming ready is the latest", nil, []*corev1.Pod{
			aPod("unknown", func(p *corev1.Pod) {
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			}),
			aPod("known", ready(time.Second)),
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for seed := range int64(20) {
				shuffled := slices.Clone(test.pods)
				rand.New(rand.NewSource(seed)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
				Order{Rank: test.rank, Now: now}.Sort(shuffled)
				if got, want := names(shuffled), names(test.pods); got != want {
					t.Fatalf("ordered %s, not %s", got, want)
				}
			}
		})
	}
}

func TestAvailability(t *testing.T) {
	for _, test := range []struct {
		pod       *corev1.Pod
		minReady  int32
		available bool
		next      time.Duration
	}{
		{aPod("unready"), 0, false, 0},
		{aPod("unready"), 10, false, 0},
		{aPod("ready", ready(0)), 0, true, 0},
		{aPod("ready", ready(4*time.Second)), 10, false, 6 * time.Second},
		{aPod("ready", ready(10*time.Second)), 10, true, 0},
		{aPod("ready", ready(11*time.Second)), 10, true, 0},
	} {
		if got := Available(test.pod, test.minReady, now); got != test.available {
			t.Errorf("%s, %d s: available is %v", test.pod.Name, test.minReady, got)
		}
		if got := NextAvailable([]*corev1.Pod{test.pod, aPod("other")}, test.minReady, now); got != test.next {
			t.Errorf("%s, %d s: next in %v, not %v", test.pod.Name, test.minReady, got, test.next)
		}
	}
}

func TestNew(t *testing.T) {
	template := &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}, Finalizers: []string{"a/b"}}}
	ref := &metav1.OwnerReference{Name: "web"}
	p := New(template, "web", ref)
	if p.GenerateName != "web-" || p.OwnerReferences[0].Name != "web" || p.Labels["app"] != "web" || p.Finalizers[0] != "a/b" {
		t.Errorf("made %+v", p)
	}
	p.Labels["app"] = "changed"
	if template.Labels["app"] != "web" {
		t.Error("shares labels with the template")
	}
}

// The hashes were reckoned by upstream's ComputeHash; see TestHashIsUpstreams in
// the package controllers, which compares with it.
func TestHashDiffers(t *testing.T) {
	template := &corev1.PodTemplateSpec{}
	zero, one := int32(0), int32(1)
	seen := map[string]bool{}
	for _, collisions := range []*int32{nil, &zero, &one} {
		hash := Hash(template, collisions)
		if seen[hash] || len(hash) == 0 {
			t.Errorf("%q again", hash)
		}
		seen[hash] = true
	}
}

func names(pods []*corev1.Pod) string {
	list := make([]string, len(pods))
	for i, p := range pods {
		list[i] = p.Name
	}
	return fmt.Sprint(list)
}
