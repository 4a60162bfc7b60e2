package scheduler

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// What is said of a pod is written in the order in which it was said, and nothing
// any more once it is settled.
func TestStatusesInOrder(t *testing.T) {
	client := fake.NewClientset()
	writes, goOn := make(chan string), make(chan struct{})
	client.PrependReactor("patch", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		writes <- string(action.(clienttesting.PatchAction).GetPatch())
		<-goOn
		return true, &corev1.Pod{}, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	w := newStatusWriter(client, slog.New(slog.DiscardHandler))
	w.start(ctx, &running)
	pod := newPod("p", "1")
	expect := func(node string) {
		t.Helper()
		if got, want := <-writes, `{"metadata":{"uid":"p"},"status":{"nominatedNodeName":"`+node+`"}}`; got != want {
			t.Errorf("%s is written, not %s", got, want)
		}
	}
	w.set(pod, "", "", "a", true)
	expect("a")
	w.set(pod, "", "", "b", true)
	w.set(pod, "", "", "c", true)
	goOn <- struct{}{}
	expect("c")
	w.set(pod, "", "", "d", true)
	settled := make(chan struct{})
	go func() {
		w.settle(ctx, pod.UID)
		close(settled)
	}()
	select {
	case <-settled:
		t.Error("it is settled while something is being written")
	case goOn <- struct{}{}:
	}
	select {
	case <-settled:
	case <-writes: // taken before it was dropped
		goOn <- struct{}{}
		<-settled
	}
	select {
	case got := <-writes:
		t.Errorf("%s is written in the end", got)
	default:
	}
}
