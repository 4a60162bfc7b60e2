package e2e

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// awaitObject watches one object until it is as wanted.
func awaitObject[T runtime.Object](ctx context.Context, t *testing.T, client cache.Getter, resource, namespace, name string, example T, wanted func(T) bool) {
	t.Helper()
	source := cache.NewListWatchFromClient(client, resource, namespace, fields.OneTermEqualSelector("metadata.name", name))
	var last any
	_, err := watchtools.UntilWithSync(ctx, source, example, nil, func(event watch.Event) (bool, error) {
		last = event.Object
		object, ok := event.Object.(T)
		return ok && event.Type != watch.Deleted && wanted(object), nil
	})
	if err != nil {
		t.Fatalf("%s %s did not become what was wanted: %v; last: %+v", resource, name, err, last)
	}
}

// TestKWOK is the life of a node and a pod that KWOK plays.
func TestKWOK(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s := newServer(t, "")
	s.kwok()
	client := must(kubernetes.NewForConfig(s.config()))(t)
	addNodes(t, client, 2)
	for _, name := range []string{"node-0", "node-1"} {
		awaitObject(ctx, t, client.CoreV1().RESTClient(), "nodes", "", name, &corev1.Node{}, func(node *corev1.Node) bool {
			for _, condition := range node.Status.Conditions {
				if condition.Type == corev1.NodeReady {
					return condition.Status == corev1.ConditionTrue
				}
			}
			return false
		})
	}
	awaitObject(ctx, t, client.CoreV1().RESTClient(), "serviceaccounts", "default", "default", &corev1.ServiceAccount{}, func(*corev1.ServiceAccount) bool { return true })
	must(client.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "a"},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "c", Image: "example.org/c"}}},
	}, metav1.CreateOptions{}))(t)
	awaitObject(ctx, t, client.CoreV1().RESTClient(), "pods", "default", "a", &corev1.Pod{}, func(pod *corev1.Pod) bool { return pod.Status.Phase == corev1.PodRunning })
}
