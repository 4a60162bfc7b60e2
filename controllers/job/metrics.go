package job

import (
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/utils/ptr"

	"github.com/howdah/howdah/controllers/pod"
)

const subsystem = "job_controller"

// Actions of a sync, as labels.
const (
	didReconcile = "reconciling"
	didTrack     = "tracking"
	didCreate    = "pods_created"
	didDelete    = "pods_deleted"
)

const (
	resultSucceeded = "succeeded"
	resultFailed    = "failed"
)

var (
	syncDuration = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Subsystem:      subsystem,
		Name:           "job_sync_duration_seconds",
		Help:           "The time it took to sync a job",
		StabilityLevel: metrics.STABLE,
		Buckets:        metrics.ExponentialBuckets(0.004, 2, 15),
	}, []string{"completion_mode", "result", "action"})
	syncs = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      subsystem,
		Name:           "job_syncs_total",
		Help:           "The number of job syncs",
		StabilityLevel: metrics.STABLE,
	}, []string{"completion_mode", "result", "action"})
	jobsFinished = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      subsystem,
		Name:           "jobs_finished_total",
		Help:           "The number of finished jobs",
		StabilityLevel: metrics.STABLE,
	}, []string{"completion_mode", "result", "reason"})
	elsewhere = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      subsystem,
		Name:           "jobs_by_external_controller_total",
		Help:           "The number of Jobs managed by an external controller",
		StabilityLevel: metrics.ALPHA,
	}, []string{"controller_name"})
	podsFinished = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      subsystem,
		Name:           "job_pods_finished_total",
		Help:           "The number of finished Pods that are fully tracked",
		StabilityLevel: metrics.STABLE,
	}, []string{"completion_mode", "result"})
	policyActions = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: subsystem,
		Name:      "pod_failures_handled_by_failure_policy_total",
		Help: `The number of failed Pods handled by failure policy with
			respect to the failure policy action applied based on the matched
			rule. Possible values of the action label correspond to the
			possible values for the failure policy rule action, which are:
			"FailJob", "Ignore" and "Count".`,
		StabilityLevel: metrics.BETA,
	}, []string{"action"})
	terminatedTracked = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: subsystem,
		Name:      "terminated_pods_tracking_finalizer_total",
		Help: `The number of terminated pods (phase=Failed|Succeeded)
that have the finalizer batch.kubernetes.io/job-tracking
The event label can be "add" or "delete".`,
		StabilityLevel: metrics.BETA,
	}, []string{"event"})
	indexesFinished = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: subsystem,
		Name:      "job_finished_indexes_total",
		Help: `The number of finished indexes. Possible values for the
			status label are: "succeeded", "failed". Possible values for the
			backoffLimit label are: "perIndex" and "global"`,
	}, []string{"status", "backoffLimit"})
	creations = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: subsystem,
		Name:      "job_pods_creation_total",
		Help: `The number of Pods created by the Job controller labelled with a reason for the Pod creation.
This metric also distinguishes between Pods created using different PodReplacementPolicy settings.
Possible values of the "reason" label are:
"new", "recreate_terminating_or_failed", "recreate_failed".
Possible values of the "status" label are:
"succeeded", "failed".`,
	}, []string{"reason", "status"})
	stale = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      subsystem,
		Name:           "stale_sync_skips_total",
		Help:           "Total number of Job syncs skipped due to a stale watch cache.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"group", "resource"})
	register = sync.OnceFunc(func() {
		legacyregistry.MustRegister(syncDuration, syncs, jobsFinished, elsewhere, podsFinished, policyActions, terminatedTracked, indexesFinished, creations, stale)
	})
)

func mode(job *batchv1.Job) string {
	return string(ptr.Deref(job.Spec.CompletionMode, batchv1.NonIndexedCompletion))
}

func observeSync(job *batchv1.Job, did string, err error, took time.Duration) {
	result := "success"
	if err != nil {
		result = "error"
	}
	syncs.WithLabelValues(mode(job), result, did).Inc()
	syncDuration.WithLabelValues(mode(job), result, did).Observe(took.Seconds())
}

// observeEnd counts a Job that ended by a condition.
func observeEnd(job *batchv1.Job, c *batchv1.JobCondition) {
	result := resultSucceeded
	if c.Type == batchv1.JobFailed {
		result = resultFailed
	}
	jobsFinished.WithLabelValues(mode(job), result, c.Reason).Inc()
}

// observePods counts what a Job's status has since it was as before.
func observePods(job *batchv1.Job, before *batchv1.JobStatus) {
	status := &job.Status
	podsFinished.WithLabelValues(mode(job), resultSucceeded).Add(float64(max(0, status.Succeeded-before.Succeeded)))
	podsFinished.WithLabelValues(mode(job), resultFailed).Add(float64(max(0, status.Failed-before.Failed)))
	if !indexed(job) {
		return
	}
	limit := "global"
	if job.Spec.BackoffLimitPerIndex != nil {
		limit = "perIndex"
	}
	more := func(was, is string) float64 {
		completions := int(*job.Spec.Completions)
		return float64(max(0, parse(is, completions).count()-parse(was, completions).count()))
	}
	indexesFinished.WithLabelValues(resultSucceeded, limit).Add(more(before.CompletedIndexes, status.CompletedIndexes))
	if job.Spec.BackoffLimitPerIndex != nil {
		indexesFinished.WithLabelValues(resultFailed, limit).Add(more(ptr.Deref(before.FailedIndexes, ""), ptr.Deref(status.FailedIndexes, "")))
	}
}

func observePolicy(actions []batchv1.PodFailurePolicyAction) {
	for _, action := range actions {
		if action != "" {
			policyActions.WithLabelValues(string(action)).Inc()
		}
	}
}

// observeTerminated counts pods that begin, or cease, to have ended and not been
// counted. A pod that isn't there is nil.
func observeTerminated(before, after *corev1.Pod) {
	waits := func(p *corev1.Pod) bool { return p != nil && pod.Terminal(p) && tracked(p) }
	switch was, is := waits(before), waits(after); {
	case is && !was:
		terminatedTracked.WithLabelValues("add").Inc()
	case was && !is:
		terminatedTracked.WithLabelValues("delete").Inc()
	}
}

func observeCreation(l *look, err error) {
	reason, status := "new", resultSucceeded
	switch {
	case replacesOnlyFailed(l.job) && l.failed > 0:
		reason = "recreate_failed"
	case l.failed > 0 || l.terminating > 0:
		reason = "recreate_terminating_or_failed"
	}
	if err != nil {
		status = resultFailed
	}
	creations.WithLabelValues(reason, status).Inc()
}
