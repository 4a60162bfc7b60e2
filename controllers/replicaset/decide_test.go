package replicaset

import (
	"errors"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestMissing(t *testing.T) {
	for _, test := range []struct{ want, have, missing int }{
		{3, 3, 0}, {3, 0, 3}, {0, 3, -3}, {5000, 0, 500}, {5000, 4900, 100}, {0, 5000, -500},
	} {
		if got := missing(test.want, test.have); got != test.missing {
			t.Errorf("%d of %d: %d, not %d", test.have, test.want, got, test.missing)
		}
	}
}

func aPod(name, node string, ready time.Duration) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}}}
	p.Spec.NodeName, p.Status.Phase = node, corev1.PodRunning
	if ready > 0 {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-ready))}}
	}
	return p
}

func TestExcess(t *testing.T) {
	a, b, c := aPod("a", "one", time.Hour), aPod("b", "two", time.Hour), aPod("c", "three", 0)
	sibling := aPod("sibling", "two", time.Hour)
	done := aPod("done", "one", time.Hour)
	done.Status.Phase = corev1.PodSucceeded
	relatives := []*corev1.Pod{a, b, c, sibling, done, done, done}
	for count, want := range map[int]string{0: "[]", 1: "[c]", 2: "[c b]", 3: "[a b c]"} {
		got := []string{}
		for _, p := range excess([]*corev1.Pod{a, b, c}, relatives, count, now) {
			got = append(got, p.Name)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%d: %v, not %s", count, got, want)
		}
	}
}

func TestStatus(t *testing.T) {
	replicas := int32(3)
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Generation: 4},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: &replicas, MinReadySeconds: 60, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web", "tier": "front"}}},
		},
	}
	s, err := ofReplicaSet(rs, nil)
	if err != nil {
		t.Fatal(err)
	}
	full := aPod("full", "one", time.Hour)
	full.Labels["tier"] = "front"
	active := []*corev1.Pod{full, aPod("fresh", "one", time.Second), aPod("unready", "one", 0)}
	got := status(s, active, 2, nil, now)
	two := int32(2)
	want := appsv1.ReplicaSetStatus{Replicas: 3, FullyLabeledReplicas: 1, ReadyReplicas: 2, AvailableReplicas: 1, TerminatingReplicas: &two, ObservedGeneration: 4}
	s.status = want
	if !s.says(got) {
		t.Errorf("%+v, not %+v", got, want)
	}

	for _, test := range []struct {
		active int
		reason string
	}{{1, "FailedCreate"}, {3, "FailedCreate"}, {5, "FailedDelete"}} {
		s.status = appsv1.ReplicaSetStatus{}
		pods := []*corev1.Pod{}
		for range test.active {
			pods = append(pods, full)
		}
		failed := status(s, pods, 0, errors.New("quota"), now)
		if len(failed.Conditions) != 1 || failed.Conditions[0].Reason != test.reason || failed.Conditions[0].Message != "quota" {
			t.Errorf("%d pods: %+v", test.active, failed.Conditions)
		}
		s.status = failed
		if again := status(s, pods, 0, errors.New("another"), now.Add(time.Hour)); !s.says(again) {
			t.Errorf("a failure that goes on says so again: %+v", again.Conditions)
		}
		if ended := status(s, pods, 0, nil, now); len(ended.Conditions) != 0 {
			t.Errorf("a failure that ended is still there: %+v", ended.Conditions)
		}
	}
}

func TestReplicationControllerStatus(t *testing.T) {
	replicas := int32(1)
	s, err := ofReplicationController(&corev1.ReplicationController{Spec: corev1.ReplicationControllerSpec{Replicas: &replicas, Template: &corev1.PodTemplateSpec{}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := status(s, nil, 3, nil, now); got.TerminatingReplicas != nil {
		t.Errorf("a ReplicationController has no such field: %+v", got)
	}
}

func TestRatios(t *testing.T) {
	aged := func(age, ready time.Duration) *corev1.Pod {
		p := aPod("a", "one", ready)
		p.CreationTimestamp = metav1.NewTime(now.Add(-age))
		return p
	}
	old, young, unready, newest := aged(time.Hour, time.Minute), aged(30*time.Minute, time.Minute), aged(time.Minute, 0), aged(0, time.Minute)
	for _, test := range []struct {
		active, doomed []*corev1.Pod
		want           string
	}{
		{[]*corev1.Pod{old, young, unready}, []*corev1.Pod{old, young, unready}, "[2 1]"},
		{[]*corev1.Pod{old, young, newest}, []*corev1.Pod{old}, "[]"}, // nothing is older than no time
		{nil, nil, "[]"},
	} {
		if got := fmt.Sprint(ratios(test.active, test.doomed, now)); got != test.want {
			t.Errorf("%v, want %s", got, test.want)
		}
	}
}
