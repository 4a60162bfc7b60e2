package deployment

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestProgress(t *testing.T) {
	d := deploy(3, "1", "0")
	limit := int32(600)
	d.Spec.ProgressDeadlineSeconds = &limit
	fresh, old := sized("new", 3, 1, 1), []*appsv1.ReplicaSet{sized("old", 1, 1, 2)}
	reason := func(kind appsv1.DeploymentConditionType) string {
		if c := conditionOf(&d.Status, kind); c != nil {
			return string(c.Status) + " " + c.Reason
		}
		return ""
	}
	expect := func(step, progressing, available, failure string) {
		t.Helper()
		if got := reason(appsv1.DeploymentProgressing); got != progressing {
			t.Errorf("%s: progressing is %s, not %s", step, got, progressing)
		}
		if got := reason(appsv1.DeploymentAvailable); got != available {
			t.Errorf("%s: available is %s, not %s", step, got, available)
		}
		if got := reason(appsv1.DeploymentReplicaFailure); got != failure {
			t.Errorf("%s: failure is %s, not %s", step, got, failure)
		}
	}

	at := now
	d.Status = progress(d, fresh, old, at)
	expect("begun", "True ReplicaSetUpdated", "False MinimumReplicasUnavailable", "")
	if next := nextCheck(d, at.Add(time.Minute)); next != 9*time.Minute+time.Second {
		t.Errorf("looks again in %v", next)
	}

	at = at.Add(time.Minute)
	fresh.Status.AvailableReplicas, fresh.Status.ReadyReplicas = 2, 2
	d.Status = progress(d, fresh, old, at)
	expect("one more", "True ReplicaSetUpdated", "True MinimumReplicasAvailable", "")
	if c := conditionOf(&d.Status, appsv1.DeploymentProgressing); !c.LastUpdateTime.Equal(ptr(at)) || !c.LastTransitionTime.Equal(ptr(now)) {
		t.Errorf("%+v", c)
	}

	fresh.Status.Conditions = []appsv1.ReplicaSetCondition{{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate"}}
	d.Status = progress(d, fresh, old, at.Add(10*time.Minute+time.Second))
	expect("too late", "False ProgressDeadlineExceeded", "True MinimumReplicasAvailable", "True FailedCreate")
	if next := nextCheck(d, at); next != 0 {
		t.Errorf("looks again in %v", next)
	}

	fresh.Status.Conditions = nil
	fresh.Status.AvailableReplicas, fresh.Status.ReadyReplicas = 3, 3
	old[0] = sized("old", 0, 0, 2)
	d.Status = progress(d, fresh, old, at.Add(time.Hour))
	expect("done", "True NewReplicaSetAvailable", "True MinimumReplicasAvailable", "")
	if c := conditionOf(&d.Status, appsv1.DeploymentProgressing); c.Message != `ReplicaSet "new" has successfully progressed.` {
		t.Errorf("%+v", c)
	}

	fresh.Status.AvailableReplicas = 0
	d.Status = progress(d, fresh, old, at.Add(9*time.Hour))
	expect("broken afterwards", "True NewReplicaSetAvailable", "False MinimumReplicasUnavailable", "")

	d.Spec.ProgressDeadlineSeconds = nil
	d.Status = progress(d, fresh, old, at)
	expect("without a deadline", "", "False MinimumReplicasUnavailable", "")
}

func TestTerminating(t *testing.T) {
	two := int32(2)
	says, silent, young := sized("a", 0, 0, 1), sized("b", 0, 0, 1), sized("c", 0, 0, 1)
	says.Status.TerminatingReplicas = &two
	silent.Status.ObservedGeneration = 1
	if got := terminating([]*appsv1.ReplicaSet{says, says, young, nil}); got == nil || *got != 4 {
		t.Errorf("%v", got)
	}
	if got := terminating([]*appsv1.ReplicaSet{says, silent}); got != nil {
		t.Errorf("%v", *got)
	}
}

func ptr(at time.Time) *metav1.Time { t := metav1.NewTime(at); return &t }
