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

// TestNodesDie takes the power from all machines of one zone: their nodes become
// Unknown, their pods not ready and, as they don't tolerate that for ever, go.
func TestNodesDie(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s := newServer(t, "", "--node-monitor-period=1s", "--node-monitor-grace-period=12s", "--node-eviction-rate=10")
	powerOff := s.kwok()
	client := must(kubernetes.NewForConfig(s.config()))(t)
	addNodes(t, client, 1)
	is := func(status corev1.ConditionStatus) func(*corev1.Node) bool {
		return func(node *corev1.Node) bool {
			for _, condition := range node.Status.Conditions {
				if condition.Type == corev1.NodeReady {
					return condition.Status == status
				}
			}
			return false
		}
	}
	awaitObject(ctx, t, client.CoreV1().RESTClient(), "nodes", "", "node-0", &corev1.Node{}, is(corev1.ConditionTrue))
	powerOff()
	// A node of another zone lives, or the controller would take the silence
	// for its own fault.
	alive := must(client.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "alive", Labels: map[string]string{corev1.LabelTopologyZone: "other"}},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}, metav1.CreateOptions{}))(t)
	go func() {
		for tick := time.NewTicker(3 * time.Second); ctx.Err() == nil; {
			select {
			case <-ctx.Done():
			case <-tick.C:
				latest, err := client.CoreV1().Nodes().Get(ctx, alive.Name, metav1.GetOptions{})
				if err != nil {
					continue
				}
				for i := range latest.Status.Conditions {
					latest.Status.Conditions[i].LastHeartbeatTime = metav1.Now()
				}
				_, _ = client.CoreV1().Nodes().UpdateStatus(ctx, latest, metav1.UpdateOptions{})
			}
		}
	}()
	must(client.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "doomed", Finalizers: []string{"example.org/witness"}},
		Spec: corev1.PodSpec{
			NodeName: "node-0", Containers: []corev1.Container{{Name: "c", Image: "example.org/c"}},
			Tolerations: []corev1.Toleration{{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64)}},
		},
	}, metav1.CreateOptions{}))(t)
	awaitObject(ctx, t, client.CoreV1().RESTClient(), "nodes", "", "node-0", &corev1.Node{}, func(node *corev1.Node) bool {
		taints := map[corev1.TaintEffect]bool{}
		for _, taint := range node.Spec.Taints {
			if taint.Key == corev1.TaintNodeUnreachable {
				taints[taint.Effect] = true
			}
		}
		return is(corev1.ConditionUnknown)(node) && taints[corev1.TaintEffectNoSchedule] && taints[corev1.TaintEffectNoExecute]
	})
	awaitObject(ctx, t, client.CoreV1().RESTClient(), "pods", "default", "doomed", &corev1.Pod{}, func(pod *corev1.Pod) bool {
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.DisruptionTarget {
				return pod.DeletionTimestamp != nil && condition.Reason == "DeletionByTaintManager"
			}
		}
		return false
	})
}
