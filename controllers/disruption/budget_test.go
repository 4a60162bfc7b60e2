package disruption

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func budget(minAvailable, maxUnavailable string) *policyv1.PodDisruptionBudget {
	b := &policyv1.PodDisruptionBudget{}
	for text, field := range map[string]**intstr.IntOrString{minAvailable: &b.Spec.MinAvailable, maxUnavailable: &b.Spec.MaxUnavailable} {
		if text != "" {
			v := intstr.Parse(text)
			*field = &v
		}
	}
	return b
}

func pods(healthy, sick int) (all []*corev1.Pod) {
	for i := range healthy + sick {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p", i)}}
		if i < healthy {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}
		all = append(all, p)
	}
	return all
}

func TestBudgets(t *testing.T) {
	for _, test := range []struct {
		pdb           *policyv1.PodDisruptionBudget
		expected      int32
		healthy, sick int
		pending       int
		scale         bool
		want, allowed int32
	}{
		{budget("2", ""), 3, 3, 0, 0, false, 2, 1},
		{budget("2", ""), 3, 2, 1, 0, false, 2, 0},
		{budget("5", ""), 3, 3, 0, 0, false, 5, 0},
		{budget("50%", ""), 3, 3, 0, 0, true, 2, 1},
		{budget("", "1"), 3, 3, 0, 0, true, 2, 1},
		{budget("", "1"), 3, 3, 0, 1, true, 2, 0},
		{budget("", "30%"), 10, 9, 1, 0, true, 7, 2},
		{budget("", "9"), 3, 3, 0, 0, true, 0, 3},
		{budget("", "1"), 0, 1, 0, 0, true, 0, 0},
	} {
		want, err := desired(&test.pdb.Spec, test.expected)
		if err != nil {
			t.Fatal(err)
		}
		pending := map[string]metav1.Time{}
		for i := range test.pending {
			pending[fmt.Sprint("p", i)] = metav1.NewTime(now)
		}
		s := status(test.pdb, pods(test.healthy, test.sick), test.expected, want, pending)
		if want != test.want || s.DisruptionsAllowed != test.allowed || byScale(&test.pdb.Spec) != test.scale || s.CurrentHealthy != int32(test.healthy-test.pending) {
			t.Errorf("%+v of %d: wants %d, %+v", test.pdb.Spec, test.expected, want, s)
		}
		if reason := s.Conditions[0].Reason; (reason == policyv1.SufficientPodsReason) != (test.allowed > 0) {
			t.Errorf("%+v: %s", test.pdb.Spec, reason)
		}
	}
}

func TestDisrupted(t *testing.T) {
	all := pods(4, 0)
	all[3].DeletionTimestamp = &metav1.Time{Time: now}
	ago := func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }
	pending, late, next := disrupted(all, map[string]metav1.Time{"p0": ago(time.Minute), "p1": ago(90 * time.Second), "p2": ago(3 * time.Minute), "p3": ago(time.Second), "gone": ago(0)}, now)
	if len(pending) != 2 || len(late) != 1 || late[0].Name != "p2" || !next.Equal(now.Add(30*time.Second)) {
		t.Errorf("pending %v, late %v, next %v", pending, late, next)
	}
}

func TestStale(t *testing.T) {
	p := pods(1, 0)[0]
	if _, stale := staleFor(p, now); stale {
		t.Error("nobody said so")
	}
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Minute))})
	if wait, stale := staleFor(p, now); !stale || wait != time.Minute {
		t.Errorf("%v, %v", wait, stale)
	}
	if wait, stale := staleFor(p, now.Add(time.Hour)); !stale || wait != 0 {
		t.Errorf("%v, %v", wait, stale)
	}
	p.DeletionTimestamp = &metav1.Time{Time: now}
	if _, stale := staleFor(p, now); stale {
		t.Error("it is being deleted")
	}
}
