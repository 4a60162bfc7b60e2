package scheduler

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A pod goes while it is being bound, whatever becomes of the request: its room
// is the next one's, and no more than that.
func TestPodGoesWhileItIsBound(t *testing.T) {
	for name, how := range map[string]fault{"the server knows": none, "the request is lost": lostRequest, "the answer is lost": lostAnswer} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t)
			first := true
			a.fault = func() fault {
				if !first {
					return none
				}
				first = false
				// In the middle of the first request; the pod's own tracker has no
				// lock that is held here.
				if how != lostAnswer {
					if err := a.Tracker().Delete(podResource, "default", "goes"); err != nil {
						t.Error(err)
					}
				}
				return how
			}
			a.addNode("a", "2")
			s, stop := a.start(nil)
			defer stop()
			a.addPod("goes", "2", nil)
			if how == lostAnswer {
				a.await("it is bound", func() bool { return a.node("goes") != "" })
				a.deletePod("goes")
			}
			a.addPod("comes", "2", nil)
			a.await("the next pod has its room", func() bool { return a.node("comes") == "a" })
			a.await("nothing is assumed any more", func() bool {
				s.lock()
				defer s.mu.Unlock()
				return len(s.assumed) == 0 && s.cluster.Pods() == 1
			})
		})
	}
}

// Whatever nodes and pods say of themselves, the one that is as it should be gets
// the node that is as it should be.
func TestOddInput(t *testing.T) {
	a := newAPI(t)
	node := func(name string, allocatable corev1.ResourceList, labels map[string]string) {
		t.Helper()
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		node.Status.Allocatable = allocatable
		if err := a.Tracker().Add(node); err != nil {
			t.Error(err)
		}
	}
	many, some := map[string]string{}, map[string]string{}
	for i := range 100_000 {
		many[fmt.Sprint("label-", i)] = "x"
		if i < 1_000 {
			some[fmt.Sprint("label-", i)] = "x"
		}
	}
	const huge = "9223372036854775807" // as thousandths it wraps around
	node("nothing", nil, nil)
	node("negative", corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("-4"), corev1.ResourceMemory: resource.MustParse("-1Gi"), corev1.ResourcePods: resource.MustParse("-1")}, nil)
	node("no-pods", corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("64Gi"), corev1.ResourcePods: resource.MustParse("0")}, nil)
	node("labelled", corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1m"), corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourcePods: resource.MustParse("10")}, many)
	a.addNode("good", "2")
	_, stop := a.start(nil)
	defer stop()
	a.addPod("huge", huge, nil)
	a.addPod("wraps", "1", func(p *corev1.Pod) {
		for i := range 4 { // together as much as nothing, if sums wrap around
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprint(i), Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceMemory: *resource.NewQuantity(1<<62, resource.BinarySI)},
			}})
		}
	})
	labelled := newPod("labelled", "1")
	labelled.Labels = many
	labelled.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
		{LabelSelector: &metav1.LabelSelector{MatchLabels: some}, TopologyKey: "none"},
	}}}
	if err := a.Tracker().Add(labelled); err != nil {
		t.Error(err)
	}
	a.addPod("selects", "1", func(p *corev1.Pod) { p.Spec.NodeSelector = some })
	a.await("the pod with many labels has the good node", func() bool { return a.node("labelled") == "good" })
	a.addPod("good", "500m", nil)
	a.await("the good pod has it, too", func() bool { return a.node("good") == "good" })
	for _, name := range []string{"huge", "wraps", "selects"} {
		a.await(name+" is explained", func() bool {
			pod, err := a.CoreV1().Pods("default").Get(context.Background(), name, metav1.GetOptions{})
			return err == nil && pod.Spec.NodeName == "" && len(pod.Status.Conditions) == 1 && pod.Status.Conditions[0].Reason == corev1.PodReasonUnschedulable
		})
	}
}
