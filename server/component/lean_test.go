package component

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
)

// TestSharedContainers has replicas share what is kept of their containers, and
// nobody else.
func TestSharedContainers(t *testing.T) {
	l := &leaner{}
	lean := func(image, cpu, secret string) *corev1.Pod {
		t.Helper()
		object, err := l.lean(&corev1.Pod{Spec: corev1.PodSpec{
			NodeName: "node",
			Containers: []corev1.Container{{
				Name: "web", Image: image, Env: []corev1.EnvVar{{Name: "SECRET", Value: secret}},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse("1Gi")}},
			}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		pod := object.(*corev1.Pod)
		want := corev1.Container{Name: "web", Image: image, Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse("1Gi")},
		}}
		if len(pod.Spec.Containers) != 1 || !equality.Semantic.DeepEqual(pod.Spec.Containers[0], want) {
			t.Fatalf("%+v, want %+v", pod.Spec.Containers, want)
		}
		return pod
	}
	first := lean("a:1", "100m", "x")
	for _, c := range []struct {
		image, cpu string
		same       bool
	}{{"a:1", "100m", true}, {"a:2", "100m", false}, {"a:1", "200m", false}, {"a:1", "100m", true}} {
		if pod := lean(c.image, c.cpu, "y"); (&pod.Spec.Containers[0] == &first.Spec.Containers[0]) != c.same {
			t.Errorf("%s %s shares with a:1 100m: %v", c.image, c.cpu, !c.same)
		}
	}
	for i := range 10000 {
		lean(fmt.Sprint("many:", i), "1", "")
	}
	if len(l.containers) > 4096 {
		t.Errorf("%d templates are known", len(l.containers))
	}
}
