package nodelifecycle

import (
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func node(conditions ...corev1.NodeCondition) *corev1.Node {
	return &corev1.Node{Status: corev1.NodeStatus{Conditions: conditions}}
}

func ready(status corev1.ConditionStatus, heartbeat time.Time) corev1.NodeCondition {
	return corev1.NodeCondition{Type: corev1.NodeReady, Status: status, LastHeartbeatTime: metav1.NewTime(heartbeat)}
}

func TestSilence(t *testing.T) {
	const startup, monitor = time.Minute, 50 * time.Second
	began := time.Unix(1000, 0)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	lease := func(seconds int) *coordinationv1.Lease {
		renewed := metav1.NewMicroTime(at(seconds))
		return &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{RenewTime: &renewed}}
	}
	newborn := node()
	newborn.CreationTimestamp = metav1.NewTime(began)

	h := &health{}
	for _, step := range []struct {
		second int
		node   *corev1.Node
		lease  *coordinationv1.Lease
		silent bool
	}{
		{30, newborn, nil, false},
		{60, newborn, nil, false},
		{61, newborn, nil, true}, // never was heard of
		{62, node(ready(corev1.ConditionTrue, at(-5000))), nil, false}, // whatever its clock says
		{112, node(ready(corev1.ConditionTrue, at(-5000))), nil, false},
		{113, node(ready(corev1.ConditionTrue, at(-5000))), nil, true},
		{114, node(ready(corev1.ConditionTrue, at(-5000))), lease(1), false}, // the lease is a sign of life, too
		{160, node(ready(corev1.ConditionTrue, at(-5000))), lease(1), false},
		{165, node(ready(corev1.ConditionTrue, at(-5000))), lease(1), true},
		{166, node(ready(corev1.ConditionFalse, at(166))), lease(1), false},
	} {
		h.observe(step.node, step.lease, at(step.second))
		if got := h.silent(step.node, at(step.second), startup, monitor); got != step.silent {
			t.Errorf("second %d: silent is %v", step.second, got)
		}
	}
}

func TestUnknown(t *testing.T) {
	n := node(ready(corev1.ConditionTrue, time.Unix(1, 0)))
	if !unknown(n, metav1.NewTime(time.Unix(100, 0))) || len(n.Status.Conditions) != 4 {
		t.Fatalf("%+v", n.Status.Conditions)
	}
	if c := n.Status.Conditions[0]; c.Reason != "NodeStatusUnknown" || c.Message != "Kubelet stopped posting node status." || c.LastHeartbeatTime.Unix() != 1 || c.LastTransitionTime.Unix() != 100 {
		t.Errorf("%+v", c)
	}
	if c := n.Status.Conditions[1]; c.Reason != "NodeStatusNeverUpdated" || c.Status != corev1.ConditionUnknown {
		t.Errorf("%+v", c)
	}
	if unknown(n, metav1.Now()) {
		t.Error("it changes again")
	}
}

func TestTaints(t *testing.T) {
	user := corev1.Taint{Key: "mine", Effect: corev1.TaintEffectNoSchedule}
	show := func(taints []corev1.Taint) string {
		var words []string
		for _, taint := range taints {
			words = append(words, strings.TrimPrefix(taint.Key, "node.kubernetes.io/")+":"+string(taint.Effect))
		}
		slices.Sort(words)
		return strings.Join(words, " ")
	}
	n := node(ready(corev1.ConditionUnknown, time.Time{}), corev1.NodeCondition{Type: corev1.NodeDiskPressure, Status: corev1.ConditionTrue})
	n.Spec.Unschedulable = true
	n.Spec.Taints = []corev1.Taint{user, {Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}, {Key: corev1.TaintNodeMemoryPressure, Effect: corev1.TaintEffectNoSchedule}}
	if got, want := show(noSchedule(n)), "disk-pressure:NoSchedule mine:NoSchedule unreachable:NoSchedule unschedulable:NoSchedule"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	n.Spec.Taints = []corev1.Taint{user, {Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoExecute}}
	for status, want := range map[corev1.ConditionStatus]string{
		corev1.ConditionTrue:    "mine:NoSchedule",
		corev1.ConditionFalse:   "mine:NoSchedule not-ready:NoExecute",
		corev1.ConditionUnknown: "mine:NoSchedule unreachable:NoExecute",
	} {
		if got := show(noExecute(n, status, metav1.Now())); got != want {
			t.Errorf("%s: %s, want %s", status, got, want)
		}
	}
}

func TestZones(t *testing.T) {
	z := &zones{rates: rates{healthy: 0.1, reduced: 0.01, large: 50, threshold: 0.55}, all: map[string]*zone{}}
	now := time.Unix(0, 0)
	for i, step := range []struct {
		a, b          count
		entered, left bool
		stateA        state
		limitA        float64
		stopped       bool
	}{
		{count{3, 0}, count{3, 0}, false, false, normal, 0.1, false},
		{count{1, 2}, count{3, 0}, false, false, normal, 0.1, false}, // two of three are too few to judge by
		{count{2, 3}, count{3, 0}, false, false, partial, 0, true},
		{count{20, 40}, count{3, 0}, false, false, partial, 0, true}, // only a change of state changes the rate
		{count{60, 0}, count{3, 0}, false, false, normal, 0.1, false},
		{count{20, 40}, count{3, 0}, false, false, partial, 0.01, false},
		{count{0, 60}, count{3, 0}, false, false, full, 0.1, false}, // the other zone lives: this one is really down
		{count{0, 60}, count{0, 3}, true, false, full, 0, true},     // everything is down: it is us
		{count{0, 60}, count{0, 3}, false, false, full, 0, true},
		{count{1, 59}, count{0, 3}, false, true, partial, 0.01, false},
	} {
		what := z.update(map[string]count{"a": step.a, "b": step.b}, now)
		a := z.of("a")
		limit := float64(a.limiter.Limit())
		if what.entered != step.entered || what.left != step.left || a.state != step.stateA || a.stopped != step.stopped || limit < step.limitA*0.999 || limit > step.limitA*1.001 {
			t.Errorf("step %d: %+v %s %v stopped %v", i, what, a.state, limit, a.stopped)
		}
	}
	z.update(map[string]count{"b": {1, 0}}, now)
	if len(z.all) != 1 {
		t.Error("a zone without nodes is kept")
	}
}

func TestTurns(t *testing.T) {
	z, now := newZone(0.1), time.Unix(0, 0)
	for _, name := range []string{"a", "b", "b", "c"} {
		z.add(name)
	}
	z.remove("b")
	var got []string
	for second := range 21 {
		if name, ok := z.next(now.Add(time.Duration(second) * time.Second)); ok {
			got = append(got, name)
			if name == "c" && second != 10 {
				t.Errorf("the second node was tainted in second %d, want 10", second)
			}
		}
	}
	if !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("%q", got)
	}
}
