package scheduler

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/ptr"
)

// An api is client-go's fake with the rule of bindings and injected faults. It
// checks at each binding that no node is given more than it has.
type api struct {
	*fake.Clientset
	t *testing.T

	fault  func() fault
	bound  int
	change chan struct{}
}

type fault int

const (
	none        fault = iota
	refused           // nothing is done, and the client knows
	lostRequest       // nothing is done, and the client can't know
	lostAnswer        // it is done, and the client can't know
)

func newAPI(t *testing.T) *api {
	a := &api{Clientset: fake.NewClientset(), t: t, fault: func() fault { return none }, change: make(chan struct{}, 1)}
	a.PrependReactor("create", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetSubresource() != "binding" {
			return false, nil, nil
		}
		binding := action.(clienttesting.CreateAction).GetObject().(*corev1.Binding)
		return true, binding, a.bind(binding)
	})
	a.PrependReactor("create", "events", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("nobody reads events here")
	})
	return a
}

var podResource = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// bind is not called by two at a time: the fake serves one request after the
// other.
func (a *api) bind(binding *corev1.Binding) error {
	fault := a.fault()
	switch fault {
	case refused:
		return apierrors.NewForbidden(podResource.GroupResource(), binding.Name, errors.New("injected"))
	case lostRequest:
		return errors.New("connection reset")
	}
	object, err := a.Tracker().Get(podResource, binding.Namespace, binding.Name)
	if err != nil {
		return err
	}
	pod := object.(*corev1.Pod).DeepCopy()
	if pod.UID != binding.UID || pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil {
		return apierrors.NewConflict(podResource.GroupResource(), binding.Name, fmt.Errorf("pod is already assigned to node %q", pod.Spec.NodeName))
	}
	pod.Spec.NodeName = binding.Target.Name
	if err := a.Tracker().Update(podResource, pod, pod.Namespace); err != nil {
		return err
	}
	a.bound++
	a.check(binding.Target.Name)
	select {
	case a.change <- struct{}{}:
	default:
	}
	if fault == lostAnswer {
		return errors.New("connection reset")
	}
	return nil
}

// check compares what is on a node with what it has.
func (a *api) check(name string) {
	object, err := a.Tracker().Get(schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, "", name)
	if err != nil {
		return // gone; nothing can be too much for it
	}
	node := object.(*corev1.Node)
	list, err := a.Tracker().List(podResource, corev1.SchemeGroupVersion.WithKind("Pod"), "")
	if err != nil {
		a.t.Error(err)
		return
	}
	var cpu, pods int64
	for _, pod := range list.(*corev1.PodList).Items {
		if pod.Spec.NodeName == name {
			pods++
			cpu += pod.Spec.Containers[0].Resources.Requests.Cpu().MilliValue()
		}
	}
	if cpu > node.Status.Allocatable.Cpu().MilliValue() || pods > node.Status.Allocatable.Pods().Value() {
		a.t.Errorf("node %s has %dm of %s CPU and %d of %s pods", name, cpu, node.Status.Allocatable.Cpu(), pods, node.Status.Allocatable.Pods())
	}
}

func (a *api) addNode(name, cpu string) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
	node.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("20")}
	if _, err := a.CoreV1().Nodes().Create(context.Background(), node, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		a.t.Error(err)
	}
}

func newPod(name, cpu string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)}}
	pod.Spec.SchedulerName = corev1.DefaultSchedulerName
	pod.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}}}}
	return pod
}

func (a *api) addPod(name, cpu string, change func(*corev1.Pod)) {
	pod := newPod(name, cpu)
	if change != nil {
		change(pod)
	}
	if _, err := a.CoreV1().Pods("default").Create(context.Background(), pod, metav1.CreateOptions{}); err != nil {
		a.t.Error(err)
	}
}

func (a *api) deletePod(name string) {
	if err := a.CoreV1().Pods("default").Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		a.t.Error(err)
	}
}

func (a *api) node(pod string) string {
	got, err := a.CoreV1().Pods("default").Get(context.Background(), pod, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	return got.Spec.NodeName
}

// await waits until something holds that bindings or the passing of time bring.
func (a *api) await(what string, holds func() bool) {
	a.t.Helper()
	deadline := time.After(60 * time.Second)
	for !holds() {
		select {
		case <-a.change:
		case <-time.After(20 * time.Millisecond): // status patches and deletions
		case <-deadline:
			a.t.Fatalf("not in time: %s", what)
		}
	}
}

// start runs a scheduler; stop waits for its end.
func (a *api) start(change func(*Options)) (s *Scheduler, stop func()) {
	a.t.Helper()
	factory := informers.NewSharedInformerFactory(a.Clientset, 0)
	o := Options{
		Client: a.Clientset, Informers: factory, Version: version.MustParse("1.37.2"),
		InitialBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond,
	}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o.Informers.Start(ctx.Done())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx)
	}()
	return s, sync.OnceFunc(func() {
		cancel()
		<-done
		o.Informers.Shutdown()
	})
}

// Pods and nodes come and go, bindings fail in every way, and schedulers take
// over from each other; no node ever has more than it can, and in the end every
// pod that is left has a node.
func TestChurn(t *testing.T) {
	a := newAPI(t)
	g := rand.New(rand.NewPCG(1, 9))
	var faults sync.Mutex
	chance := rand.New(rand.NewPCG(2, 9))
	faulty := true
	a.fault = func() fault {
		faults.Lock()
		defer faults.Unlock()
		if !faulty || chance.IntN(3) > 0 {
			return none
		}
		return fault(1 + chance.IntN(3))
	}
	for i := range 8 {
		a.addNode(fmt.Sprint(i), "2")
	}
	_, stop := a.start(nil)
	left := map[string]bool{}
	for i := range 300 {
		name := fmt.Sprintf("pod-%d", i)
		a.addPod(name, fmt.Sprintf("%dm", 100*(1+g.IntN(8))), nil)
		left[name] = true
		switch g.IntN(6) {
		case 0, 1, 2:
			for old := range left {
				a.deletePod(old)
				delete(left, old)
				break
			}
		case 3:
			node := fmt.Sprint(g.IntN(8))
			_ = a.CoreV1().Nodes().Delete(context.Background(), node, metav1.DeleteOptions{})
			for name := range left {
				if a.node(name) == node {
					a.deletePod(name)
					delete(left, name)
				}
			}
			a.addNode(node, "2")
		case 4:
			if i%5 == 0 {
				stop()
				_, stop = a.start(nil)
			}
		}
	}
	faults.Lock()
	faulty = false
	faults.Unlock()
	for i := range 40 {
		a.addNode(fmt.Sprintf("more-%d", i), "4")
	}
	for name := range left {
		a.await(name+" has a node", func() bool { return a.node(name) != "" })
	}
	stop()
}

// The answer is lost each time; every pod is bound once, and its room is not
// given to others meanwhile.
func TestLostAnswers(t *testing.T) {
	a := newAPI(t)
	n := 0
	a.fault = func() fault { n++; return []fault{lostRequest, lostAnswer, none}[n%3] }
	a.addNode("a", "2")
	_, stop := a.start(nil)
	defer stop()
	for i := range 10 {
		a.addPod(fmt.Sprint(i), "500m", nil)
	}
	count := func() (n int) {
		for i := range 10 {
			if a.node(fmt.Sprint(i)) != "" {
				n++
			}
		}
		return n
	}
	a.await("four pods are bound", func() bool { return count() == 4 })
	for i := range 10 {
		if a.node(fmt.Sprint(i)) != "" {
			a.deletePod(fmt.Sprint(i))
		}
	}
	a.await("the next four are bound", func() bool { return count() == 4 })
}

// A process that does not lead, or doesn't know to, binds nothing.
func TestBindsOnlyWhileLeading(t *testing.T) {
	a := newAPI(t)
	a.addNode("a", "2")
	_, stop := a.start(func(o *Options) { o.Leads = func() bool { return false } })
	a.addPod("p", "500m", nil)
	_, stopOther := a.start(nil)
	a.await("the leader binds", func() bool { return a.node("p") == "a" })
	stop()
	stopOther()
	if a.bound != 1 {
		t.Errorf("%d bindings", a.bound)
	}
}

func TestPreemption(t *testing.T) {
	a := newAPI(t)
	a.addNode("a", "2")
	s, stop := a.start(nil)
	defer stop()
	for i := range 2 {
		a.addPod(fmt.Sprint("low", i), "1", nil)
	}
	a.await("the node is full", func() bool { return a.node("low0") != "" && a.node("low1") != "" })
	a.addPod("never", "2", func(p *corev1.Pod) {
		p.Spec.Priority, p.Spec.PreemptionPolicy = ptr.To(int32(5)), ptr.To(corev1.PreemptNever)
	})
	a.addPod("high", "1500m", func(p *corev1.Pod) { p.Spec.Priority = ptr.To(int32(10)) })
	a.await("the important pod has the node", func() bool { return a.node("high") == "a" })
	if a.node("never") != "" {
		t.Error("a pod that may not preempt got a node")
	}
	a.await("it is explained", func() bool {
		pod, err := a.CoreV1().Pods("default").Get(context.Background(), "never", metav1.GetOptions{})
		return err == nil && len(pod.Status.Conditions) == 1 && pod.Status.Conditions[0].Reason == corev1.PodReasonUnschedulable
	})
	s.lock()
	defer s.mu.Unlock()
	if len(s.preempting) > 0 || s.nominations.Any() {
		t.Errorf("preempting %v, nominations %v", s.preempting, s.nominations)
	}
}

// Many pods that can't be placed don't keep one that can from its node.
func TestUnschedulableCrowd(t *testing.T) {
	a := newAPI(t)
	// Why they wait is not written: it takes the fake longer than all else.
	a.PrependReactor("patch", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		return action.GetSubresource() == "status", &corev1.Pod{}, nil
	})
	a.addNode("a", "2")
	const crowd = 5000
	for i := range crowd {
		if err := a.Tracker().Add(newPod(fmt.Sprint("big", i), "100")); err != nil {
			t.Fatal(err)
		}
	}
	s, stop := a.start(nil)
	defer stop()
	a.addPod("small", "1", nil)
	a.await("the small pod has a node", func() bool { return a.node("small") == "a" })
	a.addNode("b", "1")
	a.deletePod("small")
	a.addPod("again", "2", nil)
	a.await("the next one, too", func() bool { return a.node("again") == "a" })
	a.await("the crowd is known", func() bool {
		s.lock()
		defer s.mu.Unlock()
		counts := s.queue.Counts()
		return counts["unschedulable"]+counts["backoff"]+counts["active"] == crowd
	})
}

func TestGates(t *testing.T) {
	a := newAPI(t)
	a.addNode("a", "2")
	_, stop := a.start(nil)
	defer stop()
	a.addPod("gated", "1", func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "x"}} })
	a.addPod("free", "100m", nil)
	a.await("the other pod is placed", func() bool { return a.node("free") == "a" })
	if a.node("gated") != "" {
		t.Error("a gated pod was placed")
	}
	pod, err := a.CoreV1().Pods("default").Get(context.Background(), "gated", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Spec.SchedulingGates = nil
	pod.ResourceVersion = "2"
	if _, err := a.CoreV1().Pods("default").Update(context.Background(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	a.await("the pod is placed once its gate is gone", func() bool { return a.node("gated") == "a" })
}
