package controllers

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/controller"

	"github.com/howdah/howdah/controllers/pod"
)

// Names of ReplicaSets and revisions stay when a cluster moves from upstream.
func TestHashIsUpstreams(t *testing.T) {
	for i := range 20 {
		template := &corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web", "n": fmt.Sprint(i)}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: fmt.Sprintf("example.org/web:%d", i)}}},
		}
		for _, collisions := range []*int32{nil, new(int32), ptr(int32(i)), ptr(int32(1 << 20))} {
			if got, want := pod.Hash(template, collisions), controller.ComputeHash(template, collisions); got != want {
				t.Errorf("%d: %s, upstream has %s", i, got, want)
			}
		}
	}
}

func ptr[T any](value T) *T { return &value }
