package e2e

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// crowds follow which pods are on which nodes.
type crowds struct {
	mu      sync.Mutex
	nodes   map[types.UID]string // of pods; "": none yet
	most    int                  // on one node at any time
	moved   int                  // pods that changed their node
	changed chan struct{}
}

func watchCrowds(ctx context.Context, t *testing.T, client kubernetes.Interface) *crowds {
	t.Helper()
	c := &crowds{nodes: map[types.UID]string{}, changed: make(chan struct{}, 1)}
	followPods(ctx, t, client, "default", func(pod *corev1.Pod, gone bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if before := c.nodes[pod.UID]; before != "" && before != pod.Spec.NodeName {
			c.moved++
		}
		c.nodes[pod.UID] = pod.Spec.NodeName
		if gone {
			delete(c.nodes, pod.UID)
		}
		on := map[string]int{}
		for _, node := range c.nodes {
			if on[node]++; node != "" {
				c.most = max(c.most, on[node])
			}
		}
		select {
		case c.changed <- struct{}{}:
		default:
		}
	})
	return c
}

// await waits until as many of these pods are bound as are wanted.
func (c *crowds) await(ctx context.Context, t *testing.T, pods []types.UID, wanted int) {
	t.Helper()
	for {
		bound := 0
		c.mu.Lock()
		for _, pod := range pods {
			if c.nodes[pod] != "" {
				bound++
			}
		}
		c.mu.Unlock()
		if bound >= wanted {
			return
		}
		select {
		case <-c.changed:
		case <-ctx.Done():
			t.Fatalf("%d of %d pods are bound, not %d", bound, len(pods), wanted)
		}
	}
}

// TestSchedulersTakeOver holds up the scheduler that leads in the middle of its
// work until another one has taken over and filled the nodes, and then lets it go on
// beside that one, which is held up next. No node ever has more pods than it takes,
// none gets two nodes, and none is forgotten.
func TestSchedulersTakeOver(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s := newServer(t, "", "--controllers=serviceaccount-controller", "--scheduler=false")
	client := must(kubernetes.NewForConfig(s.config()))(t)
	awaitObject(ctx, t, client.CoreV1().RESTClient(), "serviceaccounts", "default", "default", &corev1.ServiceAccount{}, func(*corev1.ServiceAccount) bool { return true })
	const nodes, room, rounds = 5, 8, 4
	for i := range nodes {
		name := fmt.Sprintf("node-%d", i)
		has := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("32"), corev1.ResourceMemory: resource.MustParse("64Gi"), corev1.ResourcePods: *resource.NewQuantity(room, resource.DecimalSI)}
		must(client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Allocatable: has, Capacity: has}}, metav1.CreateOptions{}))(t)
		must(client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, []byte(`{"spec":{"taints":null}}`), metav1.PatchOptions{}))(t)
	}
	crowds := watchCrowds(ctx, t, client)
	n := 0
	create := func(count int) (names []string, uids []types.UID) {
		for range count {
			pod := must(client.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pod-%d", n)}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "c", Image: "pause"}},
			}}, metav1.CreateOptions{}))(t)
			names, uids = append(names, pod.Name), append(uids, pod.UID)
			n++
		}
		return names, uids
	}
	leader := s.component("scheduler")
	leader.leads()
	other := s.component("scheduler")
	led := map[*process]int{leader: 1}
	for round := range rounds {
		names, uids := create(nodes * room)
		crowds.await(ctx, t, uids, 1+round*nodes*room/rounds) // from hardly begun to nearly done
		leader.signal(syscall.SIGSTOP)
		led[other]++
		if err := other.log.seen(regexp.MustCompile(fmt.Sprintf("(?s)(msg=leading.*){%d}", led[other])), seenTimeout); err != nil {
			t.Fatalf("the other scheduler doesn't take over: %v", err)
		}
		crowds.await(ctx, t, uids, len(uids))
		// What goes now and comes is not what the one that is held up knows.
		for _, name := range names[:len(names)/2] {
			if err := client.CoreV1().Pods("default").Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
				t.Fatal(err)
			}
		}
		more, moreUIDs := create(len(names) / 2)
		leader.signal(syscall.SIGCONT)
		crowds.await(ctx, t, moreUIDs, len(moreUIDs))
		for _, name := range append(names[len(names)/2:], more...) {
			if err := client.CoreV1().Pods("default").Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
				t.Fatal(err)
			}
		}
		leader, other = other, leader
	}
	crowds.mu.Lock()
	defer crowds.mu.Unlock()
	if crowds.most > room || crowds.moved > 0 {
		t.Errorf("a node with room for %d pods had %d; %d pods changed their node", room, crowds.most, crowds.moved)
	}
}
