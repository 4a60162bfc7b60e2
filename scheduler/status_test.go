package scheduler

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	w := newStatusWriter(client, slog.New(slog.DiscardHandler), func() bool { return true })
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

// Why pods are not placed is written once there is nothing better to do, or after
// a while; to where they are nominated, at once.
func TestStatusesWait(t *testing.T) {
	client := fake.NewClientset()
	writes := make(chan string)
	client.PrependReactor("patch", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		writes <- action.(clienttesting.PatchAction).GetName()
		return true, &corev1.Pod{}, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	var busy atomic.Bool
	busy.Store(true)
	w := newStatusWriter(client, slog.New(slog.DiscardHandler), busy.Load)
	w.patience = time.Hour
	w.start(ctx, &running)
	expect := func(name string) {
		t.Helper()
		if got := <-writes; got != name {
			t.Errorf("%s is written, not %s", got, name)
		}
	}
	waiting, turned, dropped := newPod("waiting", "1"), newPod("turned", "1"), newPod("dropped", "1")
	w.set(dropped, corev1.PodReasonUnschedulable, "no room", "", false)
	w.set(waiting, corev1.PodReasonUnschedulable, "no room", "", false)
	w.set(turned, corev1.PodReasonUnschedulable, "no room", "", false)
	w.set(newPod("nominated", "1"), corev1.PodReasonUnschedulable, "no room", "a", true)
	expect("nominated")
	w.set(turned, corev1.PodReasonUnschedulable, "no room", "a", true)
	expect("turned")
	w.settle(ctx, dropped.UID)
	select {
	case got := <-writes:
		t.Errorf("%s is written while there is more important work", got)
	case <-time.After(3 * calm):
	}
	busy.Store(false)
	expect("waiting")

	busy.Store(true)
	w.mu.Lock()
	w.patience = calm
	w.mu.Unlock()
	w.set(waiting, corev1.PodReasonUnschedulable, "still no room", "", false)
	expect("waiting")
}
