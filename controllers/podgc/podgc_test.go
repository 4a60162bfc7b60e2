package podgc

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func pod(name, node string, phase corev1.PodPhase, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: phase}}
	for _, change := range change {
		change(p)
	}
	return p
}

func deleted(p *corev1.Pod) { now := metav1.Now(); p.DeletionTimestamp = &now }

func created(second int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(time.Unix(second, 0)) }
}

func TestChoose(t *testing.T) {
	node := func(ready corev1.ConditionStatus, taints ...string) *corev1.Node {
		n := &corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}}}
		for _, key := range taints {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute})
		}
		return n
	}
	nodes := map[string]*corev1.Node{
		"up": node(corev1.ConditionTrue), "down": node(corev1.ConditionUnknown),
		"out": node(corev1.ConditionUnknown, corev1.TaintNodeOutOfService), "up-but-out": node(corev1.ConditionTrue, corev1.TaintNodeOutOfService),
	}
	isEvicted := func(p *corev1.Pod) { p.Status.Reason = "Evicted" }
	all := []*corev1.Pod{
		pod("runs", "up", corev1.PodRunning),
		pod("stuck", "down", corev1.PodRunning, deleted),
		pod("lost", "out", corev1.PodRunning, deleted),
		pod("not-deleted", "out", corev1.PodRunning),
		pod("still-runs", "up-but-out", corev1.PodRunning, deleted),
		pod("orphan", "gone", corev1.PodRunning),
		pod("quarantined", "missing", corev1.PodRunning),
		pod("pending", "", corev1.PodPending),
		pod("pending-deleted", "", corev1.PodPending, deleted),
		pod("done-new", "up", corev1.PodSucceeded, created(3)),
		pod("done-old", "up", corev1.PodFailed, created(1)),
		pod("done-evicted", "up", corev1.PodFailed, created(4), isEvicted),
		pod("done-middle", "up", corev1.PodSucceeded, created(2)),
	}
	for threshold, want := range map[int][]string{
		0: {"lost out-of-service", "orphan orphaned", "pending-deleted unscheduled"},
		4: {"lost out-of-service", "orphan orphaned", "pending-deleted unscheduled"},
		2: {"done-evicted terminated", "done-old terminated", "lost out-of-service", "orphan orphaned", "pending-deleted unscheduled"},
	} {
		var got []string
		for _, v := range choose(all, nodes, map[string]bool{"gone": true}, threshold) {
			got = append(got, v.pod.Name+" "+string(v.reason))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("threshold %d: %q, want %q", threshold, got, want)
		}
	}
}

func TestQuarantine(t *testing.T) {
	missing, began := map[string]time.Time{}, time.Now()
	all := []*corev1.Pod{pod("a", "n", corev1.PodRunning)}
	there := map[string]*corev1.Node{"n": {}}
	for i, step := range []struct {
		after time.Duration
		nodes map[string]*corev1.Node
		gone  bool
	}{
		{0, nil, false}, {20 * time.Second, nil, false}, {30 * time.Second, there, false},
		{40 * time.Second, nil, false}, {79 * time.Second, nil, false}, {80 * time.Second, nil, true},
	} {
		if got := quarantined(missing, all, step.nodes, began.Add(step.after))["n"]; got != step.gone {
			t.Errorf("step %d: gone is %v", i, got)
		}
	}
	if quarantined(missing, nil, nil, began); len(missing) != 0 {
		t.Errorf("%v is kept of nodes that no pod names", missing)
	}
}
