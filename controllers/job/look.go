package job

import (
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/howdah/howdah/controllers/pod"
)

// maxPerSync is the most pods that one sync creates or deletes, and that it
// counts in the status before their finalizers are removed.
const maxPerSync = 500

// A look is one look at a Job and its pods, and what follows from them.
type look struct {
	job          *batchv1.Job // changed as the sync goes on
	pods, active []*corev1.Pod
	now          time.Time

	// Pods that the status has as ended but not yet counted.
	uncountedSucceeded, uncountedFailed sets.Set[types.UID]

	succeeded, failed           int // with those that newly ended
	running, ready, terminating int32
	failures                    failures
	counted, succeededIndexes   indexes // before and with those that newly succeeded
	failedIndexes               *indexes
	delayed                     map[int]*corev1.Pod // failed pods kept until their index's next
	finished                    *batchv1.JobCondition
	judged                      []batchv1.PodFailurePolicyAction // of pods that newly failed; empty where no rule matched
}

func newLook(job *batchv1.Job, pods []*corev1.Pod, before failures, now time.Time) *look {
	if job.Status.UncountedTerminatedPods == nil {
		job.Status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	}
	l := &look{
		job: job, pods: pods, now: now,
		uncountedSucceeded: sets.New(job.Status.UncountedTerminatedPods.Succeeded...),
		uncountedFailed:    sets.New(job.Status.UncountedTerminatedPods.Failed...),
	}
	for _, p := range pods {
		switch {
		case pod.Active(p):
			l.active = append(l.active, p)
			if pod.Ready(p) {
				l.ready++
			}
		case pod.Terminating(p):
			l.terminating++
		}
	}
	l.running = int32(len(l.active))
	succeeded := l.ended(l.uncountedSucceeded, func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	failed := l.ended(l.uncountedFailed, l.isFailed)
	l.failures = before.after(succeeded, failed)
	l.succeeded = int(job.Status.Succeeded) + len(succeeded) + len(l.uncountedSucceeded)
	l.failed = int(job.Status.Failed) + len(l.uncountedFailed)
	for _, p := range failed {
		if judge(job.Spec.PodFailurePolicy, p).counts {
			l.failed++
		}
	}
	l.decideEnd()
	return l
}

// ended are the pods that a condition holds for and that were never counted.
func (l *look) ended(uncounted sets.Set[types.UID], is func(*corev1.Pod) bool) []*corev1.Pod {
	var found []*corev1.Pod
	for _, p := range l.pods {
		if tracked(p) && !uncounted.Has(p.UID) && (!indexed(l.job) || l.validIndex(p)) && is(p) {
			found = append(found, p)
		}
	}
	return found
}

func (l *look) validIndex(p *corev1.Pod) bool {
	index := indexOf(p)
	return index != noIndex && index < int(*l.job.Spec.Completions)
}

// isFailed counts pods that are being deleted as failed, unless the Job replaces
// pods only when they have ended.
func (l *look) isFailed(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodFailed ||
		!replacesOnlyFailed(l.job) && p.DeletionTimestamp != nil && p.Status.Phase != corev1.PodSucceeded
}

// decideEnd decides whether the Job is to end, and how.
func (l *look) decideEnd() {
	spec := &l.job.Spec
	if met := conditionOf(l.job, batchv1.JobSuccessCriteriaMet); met != nil && met.Status == corev1.ConditionTrue {
		l.finished = met
	} else if target := conditionOf(l.job, batchv1.JobFailureTarget); target != nil && target.Status == corev1.ConditionTrue {
		l.finished = condition(batchv1.JobFailed, corev1.ConditionTrue, target.Reason, target.Message, l.now)
	} else if message := l.failsJob(); message != "" {
		l.fail(batchv1.JobReasonPodFailurePolicy, message)
	} else if l.failed > int(*spec.BackoffLimit) || restartedTooOften(l.job, l.pods) {
		l.fail(batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit")
	} else if spec.ActiveDeadlineSeconds != nil && l.untilDeadline() <= 0 {
		l.fail(batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline")
	}
	if !indexed(l.job) {
		return
	}
	completions := int(*spec.Completions)
	l.counted = parse(l.job.Status.CompletedIndexes, completions)
	var newly []int
	for _, p := range l.pods {
		if p.Status.Phase == corev1.PodSucceeded && tracked(p) && l.validIndex(p) {
			newly = append(newly, indexOf(p))
		}
	}
	l.succeededIndexes = l.counted.with(of(newly))
	l.succeeded = l.succeededIndexes.count()
	if spec.BackoffLimitPerIndex != nil {
		failed := l.findFailedIndexes()
		l.failedIndexes = &failed
		l.findDelayed()
		switch n := failed.count(); {
		case l.finished != nil:
		case spec.MaxFailedIndexes != nil && n > int(*spec.MaxFailedIndexes):
			l.fail(batchv1.JobReasonMaxFailedIndexesExceeded, "Job has exceeded the specified maximal number of failed indexes")
		case n > 0 && n+l.succeeded >= completions:
			l.fail(batchv1.JobReasonFailedIndexes, "Job has failed indexes")
		}
	}
	if l.finished == nil {
		if message, met := succeedsEarly(spec.SuccessPolicy, completions, l.succeededIndexes); met {
			l.finished = condition(batchv1.JobSuccessCriteriaMet, corev1.ConditionTrue, batchv1.JobReasonSuccessPolicy, message, l.now)
		}
	}
}

func (l *look) fail(reason, message string) {
	l.finished = condition(batchv1.JobFailureTarget, corev1.ConditionTrue, reason, message, l.now)
}

func (l *look) failsJob() string {
	if l.job.Spec.PodFailurePolicy == nil {
		return ""
	}
	for _, p := range l.pods {
		if l.isFailed(p) {
			if v := judge(l.job.Spec.PodFailurePolicy, p); v.message != "" {
				return v.message
			}
		}
	}
	return ""
}

// restartedTooOften is for Jobs whose containers are restarted in place.
func restartedTooOften(job *batchv1.Job, pods []*corev1.Pod) bool {
	if job.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyOnFailure {
		return false
	}
	restarts := int32(0)
	for _, p := range pods {
		if p.Status.Phase != corev1.PodRunning && p.Status.Phase != corev1.PodPending {
			continue
		}
		for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			restarts += s.RestartCount
		}
	}
	return restarts > 0 && restarts >= *job.Spec.BackoffLimit
}

// untilDeadline is how long the Job may still run; it is meaningful only for one
// with a deadline.
func (l *look) untilDeadline() time.Duration {
	total := time.Duration(*l.job.Spec.ActiveDeadlineSeconds) * time.Second
	if l.job.Status.StartTime == nil || suspended(l.job) {
		return total
	}
	return total - l.now.Sub(l.job.Status.StartTime.Time)
}

func (l *look) findFailedIndexes() indexes {
	var failed indexes
	if text := l.job.Status.FailedIndexes; text != nil {
		failed = parse(*text, int(*l.job.Spec.Completions))
	}
	var newly []int
	for _, p := range l.pods {
		if !tracked(p) || !l.validIndex(p) || !l.isFailed(p) {
			continue
		}
		v := judge(l.job.Spec.PodFailurePolicy, p)
		if v.action == batchv1.PodFailurePolicyActionFailIndex || v.counts && number(p, batchv1.JobIndexFailureCountAnnotation) >= *l.job.Spec.BackoffLimitPerIndex {
			newly = append(newly, indexOf(p))
		}
	}
	return failed.with(of(newly))
}

// findDelayed finds for each index that is to be tried again the last failed
// pod. It keeps its finalizer until the next pod of the index is there and bears
// the count of failures on.
func (l *look) findDelayed() {
	l.delayed = map[int]*corev1.Pod{}
	active := indexesOf(l.active)
	for _, p := range l.ended(nil, l.isFailed) {
		index := indexOf(p)
		if l.succeededIndexes.has(index) || l.failedIndexes.has(index) || active.has(index) {
			continue
		}
		last := l.delayed[index]
		if last == nil || tries(last) <= tries(p) && !endOf(p).Before(endOf(last)) {
			l.delayed[index] = p
		}
	}
}

// A plan is what to do with the pods of a Job that goes on.
type plan struct {
	remove []*corev1.Pod
	create int
	next   []int         // the indexes of what is created, if the Job has any
	wait   time.Duration // before creating anything
}

// plan decides about a Job that isn't to end.
func (l *look) plan() plan {
	spec := &l.job.Spec
	if suspended(l.job) {
		return plan{remove: l.removable(len(l.active))}
	}
	want := int(*spec.Parallelism)
	switch {
	case spec.Completions != nil:
		want = max(0, min(want, int(*spec.Completions)-l.succeeded))
	case l.succeeded > 0: // one succeeded: the rest may end, and none is added
		want = len(l.active)
	}
	if remove := l.removable(max(0, len(l.active)-want)); len(remove) > 0 {
		return plan{remove: remove[:min(len(remove), maxPerSync)]}
	}
	create := want - len(l.active)
	if replacesOnlyFailed(l.job) {
		create -= int(l.terminating)
	}
	if create <= 0 {
		return plan{}
	}
	perIndex := spec.BackoffLimitPerIndex != nil
	if !perIndex {
		if wait := l.failures.wait(l.now); wait > 0 {
			return plan{wait: wait}
		}
	}
	result := plan{create: min(create, maxPerSync)}
	if !indexed(l.job) {
		return result
	}
	taken := l.succeededIndexes.with(indexesOf(l.active))
	if replacesOnlyFailed(l.job) {
		taken = taken.with(indexesOf(slices.DeleteFunc(slices.Clone(l.pods), func(p *corev1.Pod) bool { return !pod.Terminating(p) })))
	}
	if l.failedIndexes != nil {
		taken = taken.with(*l.failedIndexes)
	}
	result.next = taken.missing(result.create, int(*spec.Completions))
	if perIndex {
		result.next = slices.DeleteFunc(result.next, func(index int) bool {
			last := l.delayed[index]
			if last == nil {
				return false
			}
			wait := failures{tries(last) + 1, endOf(last)}.wait(l.now)
			if wait > 0 && (result.wait == 0 || wait < result.wait) {
				result.wait = wait
			}
			return wait > 0
		})
	}
	result.create = len(result.next)
	return result
}

// removable are at least so many active pods, those that an indexed Job must not
// have first.
func (l *look) removable(least int) []*corev1.Pod {
	var remove []*corev1.Pod
	rest := slices.Clone(l.active)
	if indexed(l.job) {
		remove, rest = superfluous(rest, int(*l.job.Spec.Completions))
	}
	if more := least - len(remove); more > 0 {
		pod.Order{}.Sort(rest)
		remove = append(remove, rest[:more]...)
	}
	return remove
}

// complete is whether nothing is left to do.
func (l *look) complete() bool {
	if l.job.Spec.Completions == nil {
		return l.succeeded > 0 && l.running == 0
	}
	return l.succeeded >= int(*l.job.Spec.Completions) && l.running == 0
}

func indexed(job *batchv1.Job) bool {
	return job.Spec.CompletionMode != nil && *job.Spec.CompletionMode == batchv1.IndexedCompletion
}

func suspended(job *batchv1.Job) bool { return job.Spec.Suspend != nil && *job.Spec.Suspend }

func replacesOnlyFailed(job *batchv1.Job) bool {
	return job.Spec.PodReplacementPolicy != nil && *job.Spec.PodReplacementPolicy == batchv1.Failed
}

func tracked(p *corev1.Pod) bool { return slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer) }

// tries is how often an index failed before this pod, ignored failures too.
func tries(p *corev1.Pod) int {
	return int(number(p, batchv1.JobIndexFailureCountAnnotation) + number(p, batchv1.JobIndexIgnoredFailureCountAnnotation))
}

func number(p *corev1.Pod, annotation string) int32 {
	n, err := strconv.ParseInt(p.Annotations[annotation], 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return int32(n)
}

func ended(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}

func conditionOf(job *batchv1.Job, kind batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		if job.Status.Conditions[i].Type == kind {
			return &job.Status.Conditions[i]
		}
	}
	return nil
}

func condition(kind batchv1.JobConditionType, status corev1.ConditionStatus, reason, message string, now time.Time) *batchv1.JobCondition {
	return &batchv1.JobCondition{Type: kind, Status: status, Reason: reason, Message: message, LastProbeTime: metav1.NewTime(now), LastTransitionTime: metav1.NewTime(now)}
}

// setCondition returns whether the condition says anything new. One that never
// held isn't said to be false.
func setCondition(job *batchv1.Job, c *batchv1.JobCondition) bool {
	current := conditionOf(job, c.Type)
	switch {
	case current == nil && c.Status == corev1.ConditionFalse:
		return false
	case current == nil:
		job.Status.Conditions = append(job.Status.Conditions, *c)
	case current.Status == c.Status && current.Reason == c.Reason && current.Message == c.Message:
		return false
	default:
		*current = *c
	}
	return true
}
