package job

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func aJob(parallelism, completions int32, change ...func(*batchv1.Job)) *batchv1.Job {
	j := &batchv1.Job{Spec: batchv1.JobSpec{Parallelism: &parallelism, BackoffLimit: ptr.To[int32](6)}}
	if completions >= 0 {
		j.Spec.Completions = &completions
	}
	for _, c := range change {
		c(j)
	}
	return j
}

func byIndex(j *batchv1.Job)    { j.Spec.CompletionMode = ptr.To(batchv1.IndexedCompletion) }
func perIndex(j *batchv1.Job)   { byIndex(j); j.Spec.BackoffLimitPerIndex = ptr.To[int32](1) }
func suspend(j *batchv1.Job)    { j.Spec.Suspend = ptr.To(true) }
func onlyFailed(j *batchv1.Job) { j.Spec.PodReplacementPolicy = ptr.To(batchv1.Failed) }
func did(n int32) func(*batchv1.Job) {
	return func(j *batchv1.Job) { j.Status.Succeeded = n }
}

var serial int

// aPod has the state that a word names, and an index if it is not negative.
func aPod(state string, index int, change ...func(*corev1.Pod)) *corev1.Pod {
	serial++
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p", serial), UID: types.UID(fmt.Sprint(serial)), Finalizers: []string{batchv1.JobTrackingFinalizer}, Annotations: map[string]string{}}}
	if index >= 0 {
		p.Annotations[batchv1.JobCompletionIndexAnnotation] = strconv.Itoa(index)
	}
	switch state {
	case "running":
		p.Status.Phase = corev1.PodRunning
	case "done":
		p.Status.Phase = corev1.PodSucceeded
	case "failed":
		p.Status.Phase = corev1.PodFailed
		p.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
	case "ending":
		p.Status.Phase = corev1.PodRunning
		p.DeletionTimestamp = &metav1.Time{Time: now.Add(-time.Hour)}
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func failedBefore(n int) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations[batchv1.JobIndexFailureCountAnnotation] = strconv.Itoa(n) }
}

func endedAgo(ago time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(now.Add(-ago)) }
}

func uncountedDone(p *corev1.Pod) func(*batchv1.Job) {
	return func(j *batchv1.Job) {
		j.Status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{Succeeded: []types.UID{p.UID}}
	}
}

func TestPlan(t *testing.T) {
	counted := aPod("done", -1)
	for _, test := range []struct {
		name           string
		job            *batchv1.Job
		pods           []*corev1.Pod
		create, remove int
		next           string
		wait           time.Duration
	}{
		{"begins", aJob(3, 10), nil, 3, 0, "[]", 0},
		{"keeps parallelism", aJob(3, 10), []*corev1.Pod{aPod("running", -1), aPod("done", -1)}, 2, 0, "[]", 0},
		{"as many as are left", aJob(3, 10, did(9)), nil, 1, 0, "[]", 0},
		{"an uncounted one counts once", aJob(3, 2, uncountedDone(counted)), []*corev1.Pod{counted}, 1, 0, "[]", 0},
		{"too many", aJob(1, 10), []*corev1.Pod{aPod("running", -1), aPod("running", -1)}, 0, 1, "[]", 0},
		{"a work queue begins", aJob(4, -1), nil, 4, 0, "[]", 0},
		{"a work queue goes on", aJob(4, -1), []*corev1.Pod{aPod("running", -1)}, 3, 0, "[]", 0},
		{"a work queue ends", aJob(4, -1), []*corev1.Pod{aPod("running", -1), aPod("done", -1)}, 0, 0, "[]", 0},
		{"suspended", aJob(4, 10, suspend), []*corev1.Pod{aPod("running", -1), aPod("running", -1), aPod("done", -1)}, 0, 2, "[]", 0},
		{"many at once", aJob(10000, 10000), nil, 500, 0, "[]", 0},
		{"waits after a failure", aJob(1, 1), []*corev1.Pod{aPod("failed", -1, endedAgo(4*time.Second))}, 0, 0, "[]", 6 * time.Second},
		{"waits longer after two", aJob(1, 1), []*corev1.Pod{aPod("failed", -1, endedAgo(4*time.Second)), aPod("failed", -1, endedAgo(9*time.Second))}, 0, 0, "[]", 16 * time.Second},
		{"waited", aJob(1, 1), []*corev1.Pod{aPod("failed", -1)}, 1, 0, "[]", 0},
		{"replaces what ends", aJob(1, 1), []*corev1.Pod{aPod("ending", -1)}, 1, 0, "[]", 0},
		{"replaces only what ended", aJob(1, 1, onlyFailed), []*corev1.Pod{aPod("ending", -1)}, 0, 0, "[]", 0},
		{"the first indexes", aJob(3, 10, byIndex), nil, 3, 0, "[0 1 2]", 0},
		{"indexes that nobody has", aJob(4, 6, byIndex), []*corev1.Pod{aPod("running", 1), aPod("done", 3), aPod("failed", 0)}, 3, 0, "[0 2 4]", 0},
		{"an index is freed only when its pod ended", aJob(4, 4, byIndex, onlyFailed), []*corev1.Pod{aPod("running", 1), aPod("ending", 0)}, 2, 0, "[2 3]", 0},
		{"no index twice", aJob(4, 4, byIndex), []*corev1.Pod{aPod("running", 1), aPod("running", 1), aPod("running", 9), aPod("running", -1)}, 0, 3, "[]", 0},
		{"each index waits for itself", aJob(4, 4, perIndex), []*corev1.Pod{aPod("failed", 0, endedAgo(time.Second)), aPod("failed", 2)}, 3, 0, "[1 2 3]", 9 * time.Second},
		{"failed indexes aren't tried again", aJob(4, 4, perIndex), []*corev1.Pod{aPod("failed", 0, failedBefore(1))}, 3, 0, "[1 2 3]", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLook(test.job, test.pods, failures{}, now)
			if l.finished != nil {
				t.Fatalf("ends: %+v", l.finished)
			}
			p := l.plan()
			if p.create != test.create || len(p.remove) != test.remove || fmt.Sprint(p.next) != test.next || p.wait != test.wait {
				t.Errorf("create %d %v, remove %d, wait %v", p.create, p.next, len(p.remove), p.wait)
			}
		})
	}
}

func TestEnd(t *testing.T) {
	exit := func(code int32) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Namespace = "default"
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}}}
		}
	}
	restarts := func(n int32) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: n}} }
	}
	policy := func(j *batchv1.Job) {
		rule := func(action batchv1.PodFailurePolicyAction, code int32) batchv1.PodFailurePolicyRule {
			return batchv1.PodFailurePolicyRule{Action: action, OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{code}}}
		}
		j.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
			rule(batchv1.PodFailurePolicyActionFailJob, 42), rule(batchv1.PodFailurePolicyActionIgnore, 43), rule(batchv1.PodFailurePolicyActionFailIndex, 44),
		}}
	}
	limit := func(n int32) func(*batchv1.Job) { return func(j *batchv1.Job) { j.Spec.BackoffLimit = &n } }
	started := func(ago time.Duration, deadline int64) func(*batchv1.Job) {
		return func(j *batchv1.Job) {
			j.Status.StartTime, j.Spec.ActiveDeadlineSeconds = &metav1.Time{Time: now.Add(-ago)}, &deadline
		}
	}
	success := func(rule batchv1.SuccessPolicyRule) func(*batchv1.Job) {
		return func(j *batchv1.Job) {
			byIndex(j)
			j.Spec.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{rule}}
		}
	}
	for _, test := range []struct {
		name    string
		job     *batchv1.Job
		pods    []*corev1.Pod
		kind    batchv1.JobConditionType
		reason  string
		message string
	}{
		{"goes on", aJob(1, 1), []*corev1.Pod{aPod("failed", -1)}, "", "", ""},
		{"too many failures", aJob(1, 1, limit(1)), []*corev1.Pod{aPod("failed", -1), aPod("failed", -1)}, batchv1.JobFailureTarget, "BackoffLimitExceeded", "Job has reached the specified backoff limit"},
		{"too many restarts", aJob(1, 1, limit(2), func(j *batchv1.Job) { j.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyOnFailure }), []*corev1.Pod{aPod("running", -1, restarts(2))}, batchv1.JobFailureTarget, "BackoffLimitExceeded", ""},
		{"in time", aJob(1, 1, started(9*time.Second, 10)), nil, "", "", ""},
		{"too late", aJob(1, 1, started(10*time.Second, 10)), nil, batchv1.JobFailureTarget, "DeadlineExceeded", "Job was active longer than specified deadline"},
		{"suspended time doesn't count", aJob(1, 1, started(time.Hour, 10), suspend), nil, "", "", ""},
		{"a policy fails the Job", aJob(1, 1, policy), []*corev1.Pod{aPod("failed", -1, exit(42), func(p *corev1.Pod) { p.Name = "p" })}, batchv1.JobFailureTarget, "PodFailurePolicy", "Container main for pod default/p failed with exit code 42 matching FailJob rule at index 0"},
		{"a policy ignores failures", aJob(1, 1, policy, limit(0)), []*corev1.Pod{aPod("failed", -1, exit(43))}, "", "", ""},
		{"a policy counts the rest", aJob(1, 1, policy, limit(0)), []*corev1.Pod{aPod("failed", -1, exit(1))}, batchv1.JobFailureTarget, "BackoffLimitExceeded", ""},
		{"a failed index", aJob(2, 2, perIndex), []*corev1.Pod{aPod("failed", 0, failedBefore(1)), aPod("running", 1)}, "", "", ""},
		{"the last index ended, one failed", aJob(2, 2, perIndex), []*corev1.Pod{aPod("failed", 0, failedBefore(1)), aPod("done", 1)}, batchv1.JobFailureTarget, "FailedIndexes", "Job has failed indexes"},
		{"a policy fails an index", aJob(1, 1, perIndex, policy), []*corev1.Pod{aPod("failed", 0, exit(44))}, batchv1.JobFailureTarget, "FailedIndexes", ""},
		{"too many failed indexes", aJob(3, 3, perIndex, func(j *batchv1.Job) { j.Spec.MaxFailedIndexes = ptr.To[int32](0) }), []*corev1.Pod{aPod("failed", 0, failedBefore(1))}, batchv1.JobFailureTarget, "MaxFailedIndexesExceeded", ""},
		{"one success will do", aJob(3, 3, success(batchv1.SuccessPolicyRule{SucceededCount: ptr.To[int32](1)})), []*corev1.Pod{aPod("done", 2)}, batchv1.JobSuccessCriteriaMet, "SuccessPolicy", "Matched rules at index 0"},
		{"not that one", aJob(3, 3, success(batchv1.SuccessPolicyRule{SucceededIndexes: ptr.To("0-1"), SucceededCount: ptr.To[int32](1)})), []*corev1.Pod{aPod("done", 2)}, "", "", ""},
		{"all of the leaders", aJob(3, 3, success(batchv1.SuccessPolicyRule{SucceededIndexes: ptr.To("0-1")})), []*corev1.Pod{aPod("done", 0), aPod("done", 1)}, batchv1.JobSuccessCriteriaMet, "SuccessPolicy", ""},
		{"fails as decided before", aJob(1, 1, func(j *batchv1.Job) {
			j.Status.Conditions = []batchv1.JobCondition{*condition(batchv1.JobFailureTarget, corev1.ConditionTrue, "BackoffLimitExceeded", "m", now)}
		}), nil, batchv1.JobFailed, "BackoffLimitExceeded", "m"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := newLook(test.job, test.pods, failures{}, now).finished
			if got == nil {
				got = &batchv1.JobCondition{}
			}
			if got.Type != test.kind || got.Reason != test.reason || test.message != "" && got.Message != test.message {
				t.Errorf("ends by %+v", got)
			}
		})
	}
}

// TestCounting lets a Job's pods end while syncs are interrupted at every step,
// and sees each counted once.
func TestCounting(t *testing.T) {
	for _, mode := range []func(*batchv1.Job){func(*batchv1.Job) {}, byIndex} {
		for interrupted := range 4 {
			job := aJob(4, 4, mode)
			pods := []*corev1.Pod{aPod("done", 0), aPod("done", 1), aPod("failed", 2), aPod("running", 3)}
			stored := job.Status.DeepCopy()
			for sync := range 6 {
				cut := -1
				if sync == 0 {
					cut = interrupted
				}
				job.Status = *stored.DeepCopy()
				l := newLook(job, pods, failures{}, now)
				done, _ := l.account()
				if cut == 0 {
					continue
				}
				stored = job.Status.DeepCopy()
				for i, p := range done {
					if cut == 1 && i > 0 {
						break
					}
					p.Finalizers = nil
				}
				if cut == 1 || cut == 2 {
					continue
				}
				left := sets.New[types.UID]()
				for _, p := range pods {
					if tracked(p) {
						left.Insert(p.UID)
					}
				}
				countUncounted(&job.Status, left)
				stored = job.Status.DeepCopy()
			}
			if stored.Succeeded != 2 || stored.Failed != 1 || len(stored.UncountedTerminatedPods.Failed)+len(stored.UncountedTerminatedPods.Succeeded) != 0 {
				t.Errorf("indexed %v, interrupted at %d: %+v", indexed(job), interrupted, stored)
			}
		}
	}
}
