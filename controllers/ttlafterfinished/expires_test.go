package ttlafterfinished

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestExpires(t *testing.T) {
	finished, ttl := time.Unix(1000, 0), int32(60)
	job := func(ttl *int32, kind batchv1.JobConditionType, status corev1.ConditionStatus) *batchv1.Job {
		return &batchv1.Job{
			Spec:   batchv1.JobSpec{TTLSecondsAfterFinished: ttl},
			Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: kind, Status: status, LastTransitionTime: metav1.NewTime(finished)}}},
		}
	}
	deleted := job(&ttl, batchv1.JobComplete, corev1.ConditionTrue)
	now := metav1.Now()
	deleted.DeletionTimestamp = &now
	for name, c := range map[string]struct {
		job  *batchv1.Job
		want bool
	}{
		"complete":    {job(&ttl, batchv1.JobComplete, corev1.ConditionTrue), true},
		"failed":      {job(&ttl, batchv1.JobFailed, corev1.ConditionTrue), true},
		"not yet":     {job(&ttl, batchv1.JobComplete, corev1.ConditionFalse), false},
		"suspended":   {job(&ttl, batchv1.JobSuspended, corev1.ConditionTrue), false},
		"no lifetime": {job(nil, batchv1.JobComplete, corev1.ConditionTrue), false},
		"deleted":     {deleted, false},
	} {
		at, ok := expires(c.job)
		if ok != c.want || ok && !at.Equal(finished.Add(time.Minute)) {
			t.Errorf("%s: %v %v", name, at, ok)
		}
	}
}
