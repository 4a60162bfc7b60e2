package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/controllers/owned"
)

// track counts the pods that ended, each exactly once however often this is
// interrupted (https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers):
//
//  1. the status gets the UIDs of pods that ended as not counted yet,
//  2. their finalizers are removed,
//  3. the status counts those without a finalizer and drops their UIDs.
//
// Succeeded indexes need no UIDs: a set has each once. When all is counted, the
// Job ends.
func (x *controller) track(ctx context.Context, l *look, before *batchv1.JobStatus) error {
	job := l.job
	tracking := sets.New[types.UID]()
	for _, p := range l.pods {
		if tracked(p) {
			tracking.Insert(p.UID)
		}
	}
	countUncounted(&job.Status, tracking)
	done, more := l.account()
	l.noteEnd()
	if !equality.Semantic.DeepEqual(before, &job.Status) {
		if err := x.writeStatus(ctx, job); err != nil {
			return fmt.Errorf("adding uncounted pods to status: %w", err)
		}
		observePods(job, before)
		observePolicy(l.judged)
		x.backoff.Put(cache.MetaObjectToName(job), l.failures)
	}
	written := job.Status.DeepCopy()
	err := owned.Together(len(done), func(i int) error {
		err := x.removeFinalizer(ctx, job, done[i])
		if err != nil && !apierrors.IsNotFound(err) {
			done[i] = nil
			return fmt.Errorf("removing tracking finalizer: %w", err)
		}
		return nil
	})
	for _, p := range done {
		if p != nil {
			tracking.Delete(p.UID)
		}
	}
	countUncounted(&job.Status, tracking)
	ends := err == nil && !more && l.enact()
	if !equality.Semantic.DeepEqual(written, &job.Status) {
		if statusErr := x.writeStatus(ctx, job); statusErr != nil {
			return errors.Join(err, fmt.Errorf("removing uncounted pods from status: %w", statusErr))
		}
		observePods(job, written)
	}
	if ends {
		x.tellEnd(job, l.finished)
	}
	if more && err == nil {
		x.queue.Add(cache.MetaObjectToName(job))
	}
	return err
}

// countUncounted counts the pods whose finalizers are gone.
func countUncounted(status *batchv1.JobStatus, tracking sets.Set[types.UID]) {
	count := func(uids *[]types.UID, total *int32) {
		left := slices.DeleteFunc(slices.Clone(*uids), func(uid types.UID) bool { return !tracking.Has(uid) })
		*total += int32(len(*uids) - len(left))
		if len(left) != len(*uids) {
			*uids = left
		}
	}
	count(&status.UncountedTerminatedPods.Succeeded, &status.Succeeded)
	count(&status.UncountedTerminatedPods.Failed, &status.Failed)
}

// account notes in the status the pods that ended, and returns those whose
// finalizers can go; more is whether there are more than one sync takes.
func (l *look) account() (done []*corev1.Pod, more bool) {
	status := &l.job.Status
	uncounted := status.UncountedTerminatedPods
	pods := l.pods
	if indexed(l.job) {
		pods = slices.SortedStableFunc(slices.Values(pods), func(a, b *corev1.Pod) int { return indexOf(a) - indexOf(b) })
	}
	var newly []int
	for _, p := range pods {
		failed := l.isFailed(p)
		if !tracked(p) || !l.mayRelease(p, failed) {
			continue
		}
		if len(newly)+len(uncounted.Succeeded)+len(uncounted.Failed) >= maxPerSync {
			more = true
			break
		}
		done = append(done, p)
		switch {
		case p.Status.Phase == corev1.PodSucceeded && !l.uncountedFailed.Has(p.UID):
			if indexed(l.job) {
				if l.validIndex(p) && !l.counted.has(indexOf(p)) {
					newly = append(newly, indexOf(p))
				}
			} else if !l.uncountedSucceeded.Has(p.UID) {
				uncounted.Succeeded = append(uncounted.Succeeded, p.UID)
			}
		case failed || l.finished != nil && l.finished.Type != batchv1.JobSuccessCriteriaMet:
			if l.uncountedFailed.Has(p.UID) || indexed(l.job) && !l.validIndex(p) {
				break
			}
			v := judge(l.job.Spec.PodFailurePolicy, p)
			l.judged = append(l.judged, v.action)
			if v.counts {
				uncounted.Failed = append(uncounted.Failed, p.UID)
			}
		}
	}
	if indexed(l.job) {
		all := l.counted.with(of(newly))
		status.Succeeded, status.CompletedIndexes = int32(all.count()), all.String()
		status.FailedIndexes = nil
		if l.failedIndexes != nil {
			text := l.failedIndexes.String()
			status.FailedIndexes = &text
		}
	}
	return done, more
}

// mayRelease is whether a pod needs no more watching over.
func (l *look) mayRelease(p *corev1.Pod, failed bool) bool {
	if l.job.DeletionTimestamp != nil || l.finished != nil || p.Status.Phase == corev1.PodSucceeded {
		return true
	}
	if !failed {
		return false
	}
	last := l.delayed[indexOf(p)]
	return last == nil || last.UID != p.UID
}

// noteEnd says in the status that the Job is going to end, and turns the
// decision into the condition that it ends with.
func (l *look) noteEnd() {
	if l.finished == nil {
		return
	}
	final := batchv1.JobFailed
	switch l.finished.Type {
	case batchv1.JobSuccessCriteriaMet:
		final = batchv1.JobComplete
		if met := conditionOf(l.job, batchv1.JobSuccessCriteriaMet); met == nil || met.Status != corev1.ConditionTrue {
			l.job.Status.Conditions = append(l.job.Status.Conditions, *l.finished)
		}
	case batchv1.JobFailureTarget:
		l.job.Status.Conditions = append(l.job.Status.Conditions, *l.finished)
	}
	l.finished = condition(final, corev1.ConditionTrue, l.finished.Reason, l.finished.Message, l.now)
}

// enact ends the Job, once all pods have ended and are counted.
func (l *look) enact() bool {
	status := &l.job.Status
	if l.finished == nil || l.terminating > 0 || len(status.UncountedTerminatedPods.Succeeded)+len(status.UncountedTerminatedPods.Failed) > 0 {
		return false
	}
	setCondition(l.job, l.finished)
	if l.finished.Type == batchv1.JobComplete {
		status.CompletionTime = &l.finished.LastTransitionTime
	}
	return true
}

func (x *controller) tellEnd(job *batchv1.Job, c *batchv1.JobCondition) {
	observeEnd(job, c)
	if c.Type == batchv1.JobFailed {
		x.pods.Events.Event(job, corev1.EventTypeWarning, c.Reason, c.Message)
		return
	}
	if job.Spec.Completions != nil && job.Status.Succeeded > *job.Spec.Completions {
		x.pods.Events.Event(job, corev1.EventTypeWarning, "TooManySucceededPods", "Too many succeeded pods running after completion count reached")
	}
	x.pods.Events.Event(job, corev1.EventTypeNormal, "Completed", "Job completed")
}

// writeStatus writes the status; job can be written again afterwards.
func (x *controller) writeStatus(ctx context.Context, job *batchv1.Job) error {
	written, err := x.client.BatchV1().Jobs(job.Namespace).UpdateStatus(ctx, job, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	job.ResourceVersion = written.ResourceVersion
	x.pods.Tracker.Wrote(cache.MetaObjectToName(job), x.jobs.GetStore(), written)
	return nil
}

// removeFinalizer lets a pod go. owner may be nil, for pods of Jobs that are
// gone.
func (x *controller) removeFinalizer(ctx context.Context, owner *batchv1.Job, p *corev1.Pod) error {
	if !tracked(p) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"$deleteFromPrimitiveList/finalizers": []string{batchv1.JobTrackingFinalizer}}})
	if err != nil {
		return fmt.Errorf("encode the patch of finalizers: %w", err)
	}
	if owner != nil {
		return x.pods.Patch(ctx, owner, p, types.StrategicMergePatchType, patch)
	}
	_, err = x.client.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}
