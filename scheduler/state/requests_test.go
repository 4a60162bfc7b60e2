package state

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

func list(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

func container(name string, pairs ...string) corev1.Container {
	return corev1.Container{Name: name, Resources: corev1.ResourceRequirements{Requests: list(pairs...)}}
}

func sidecar(name string, pairs ...string) corev1.Container {
	c := container(name, pairs...)
	c.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	return c
}

var infeasible = []corev1.PodCondition{{Type: corev1.PodResizePending, Reason: corev1.PodReasonInfeasible}}

// TestRequests compares sums by numbers with those by upstream's lists.
func TestRequests(t *testing.T) {
	for _, test := range []struct {
		name     string
		spec     corev1.PodSpec
		status   corev1.PodStatus
		upstream bool // is asked
	}{
		{name: "nothing", spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}, {Name: "b"}}}},
		{name: "two containers", spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "cpu", "100m", "memory", "1Gi"), container("b", "cpu", "2", "ephemeral-storage", "5G")}}},
		{name: "one without memory", spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "cpu", "0"), container("b", "memory", "1")}}},
		{name: "init containers", spec: corev1.PodSpec{
			InitContainers: []corev1.Container{container("i", "cpu", "3"), sidecar("s", "cpu", "1", "memory", "10Mi"), container("j", "memory", "4Gi"), sidecar("r", "cpu", "500m")},
			Containers:     []corev1.Container{container("a", "cpu", "1", "memory", "1Gi")},
		}},
		{name: "init containers without requests", spec: corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i"}, {Name: "j"}}, Containers: []corev1.Container{container("a", "cpu", "1")}}},
		{name: "overhead", spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "cpu", "1")}, Overhead: list("cpu", "250m", "memory", "120Mi")}},
		{
			name: "a resize under way", spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "cpu", "1"), container("b", "cpu", "1")}},
			status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "a", AllocatedResources: list("cpu", "2"), Resources: &corev1.ResourceRequirements{Requests: list("cpu", "3", "memory", "1Gi")}}}},
		},
		{
			name: "an infeasible resize", spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "cpu", "10"), container("b", "cpu", "1")}},
			status: corev1.PodStatus{Conditions: infeasible, ContainerStatuses: []corev1.ContainerStatus{{Name: "a", AllocatedResources: list("cpu", "2")}}},
		},
		{name: "an infeasible resize of nothing", spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "cpu", "10")}}, status: corev1.PodStatus{Conditions: infeasible}},
		{
			name: "an init container's status", spec: corev1.PodSpec{InitContainers: []corev1.Container{sidecar("s", "cpu", "1")}},
			status: corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{{Name: "s", Resources: &corev1.ResourceRequirements{Requests: list("cpu", "4")}}}},
		},

		{name: "an extended resource", spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "example.com/gpu", "0")}}, upstream: true},
		{name: "the pod as a whole", spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "cpu", "1")}, Resources: &corev1.ResourceRequirements{Requests: list("cpu", "4")}}, upstream: true},
		{
			name: "status of the pod as a whole", spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "cpu", "1")}},
			status: corev1.PodStatus{AllocatedResources: list("cpu", "3"), Resources: &corev1.ResourceRequirements{Requests: list("cpu", "2")}}, upstream: true,
		},
		{name: "parts of a thousandth", spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "cpu", "100u"), container("b", "cpu", "100u")}}, upstream: true},
		{name: "parts of a byte", spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "memory", "100m")}}, upstream: true},
		{name: "less than nothing", spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "cpu", "-1")}}, upstream: true},
		{name: "huge", spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "memory", "9223372036854775807"), container("b", "memory", "1")}}, upstream: true},
		{name: "more than huge", spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "cpu", "123456789012345678901234567890")}}, upstream: true},
		{name: "huge with an exponent", spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "memory", "9e18")}}, upstream: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: test.spec, Status: test.status}
			if byUpstream := compareRequests(t, pod); byUpstream != test.upstream {
				t.Errorf("upstream is asked: %v", byUpstream)
			}
		})
	}
}

// compareRequests tells whether upstream is asked.
func compareRequests(t *testing.T, obj *corev1.Pod) bool {
	t.Helper()
	got, want := &Pod{Obj: obj}, &Pod{Obj: obj}
	got.ask()
	want.askUpstream()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("by numbers:\n%+v\nby upstream's lists:\n%+v", *got, *want)
	}
	sums := tally{pod: obj}
	sums.count()
	return sums.inexact
}

// FuzzRequests does so for pods of all kinds.
func FuzzRequests(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { compareRequests(t, anyPod(rand.New(rand.NewPCG(seed, 0)))) })
}

func anyPod(r *rand.Rand) *corev1.Pod {
	odd := r.IntN(4) == 0
	some := func() corev1.ResourceList {
		if r.IntN(5) == 0 {
			return nil
		}
		l := corev1.ResourceList{}
		names, amounts := []string{"cpu", "memory", "ephemeral-storage"}, []string{"0", "1", "2", "100m", "0.5", "1500m", "1Gi", "1G", "3e3", "128Mi"}
		if odd {
			names, amounts = append(names, "example.com/gpu", "hugepages-2Mi", "pods"), append(amounts, "1u", "-2", "9e18", "9223372036854775807", "1e30", "1n", "8Ei")
		}
		for range r.IntN(4) {
			name, amount := names[r.IntN(len(names))], amounts[r.IntN(len(amounts))]
			l[corev1.ResourceName(name)] = resource.MustParse(amount)
		}
		return l
	}
	requirements := func() *corev1.ResourceRequirements {
		if r.IntN(2) == 0 {
			return nil
		}
		return &corev1.ResourceRequirements{Requests: some(), Limits: some()}
	}
	pod := &corev1.Pod{}
	containers := func(kind string) (all []corev1.Container, statuses []corev1.ContainerStatus) {
		for i := range r.IntN(4) {
			c := corev1.Container{Name: fmt.Sprint(kind, i), Resources: corev1.ResourceRequirements{Requests: some()}}
			if r.IntN(3) == 0 {
				c.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
			}
			all = append(all, c)
			if r.IntN(3) == 0 {
				statuses = append(statuses, corev1.ContainerStatus{Name: c.Name, AllocatedResources: some(), Resources: requirements()})
			}
		}
		return all, statuses
	}
	pod.Spec.InitContainers, pod.Status.InitContainerStatuses = containers("i")
	pod.Spec.Containers, pod.Status.ContainerStatuses = containers("c")
	if r.IntN(4) == 0 {
		pod.Spec.Overhead = some()
	}
	if odd && r.IntN(2) == 0 {
		pod.Spec.Resources = requirements()
		pod.Status.Resources, pod.Status.AllocatedResources = requirements(), some()
	}
	if r.IntN(4) == 0 {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodResizePending, Reason: []string{corev1.PodReasonInfeasible, corev1.PodReasonDeferred}[r.IntN(2)]}}
	}
	return pod
}

func BenchmarkNewPod(b *testing.B) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{
		container("a", "cpu", "100m", "memory", "64Mi"), container("b", "cpu", "100m", "memory", "64Mi"),
	}}}
	for _, way := range []struct {
		name string
		ask  func(*Pod)
	}{{"numbers", (*Pod).ask}, {"upstream", (*Pod).askUpstream}} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				way.ask(&Pod{Obj: pod})
			}
		})
	}
}
