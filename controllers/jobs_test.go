package controllers_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/utils/ptr"
)

func TestJobs(t *testing.T) {
	c := start(t, nil, "serviceaccount", "job")
	c.workers()
	before := counters(t)
	ns := c.namespace("jobs")
	await(c, c.client.CoreV1().ServiceAccounts(ns), "default", func(*corev1.ServiceAccount) bool { return true })
	jobs, pods := c.client.BatchV1().Jobs(ns), c.client.CoreV1().Pods(ns)
	create := func(name, image string, change func(*batchv1.JobSpec)) {
		t.Helper()
		template := podTemplate(name, image)
		template.Spec.RestartPolicy = corev1.RestartPolicyNever
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: batchv1.JobSpec{Template: template, Parallelism: ptr.To[int32](5), Completions: ptr.To[int32](12)}}
		change(&job.Spec)
		must(jobs.Create(c.ctx, job, metav1.CreateOptions{}))(t)
	}
	ends := func(name string, kind batchv1.JobConditionType) *batchv1.Job {
		t.Helper()
		return await(c, jobs, name, func(j *batchv1.Job) bool {
			return slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == kind && c.Status == corev1.ConditionTrue })
		})
	}
	unfinalized := func(name string) {
		t.Helper()
		list := must(pods.List(c.ctx, metav1.ListOptions{LabelSelector: "app=" + name}))(t)
		for _, p := range list.Items {
			await(c, pods, p.Name, func(p *corev1.Pod) bool { return !slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer) })
		}
	}

	create("plain", "done", func(*batchv1.JobSpec) {})
	if j := ends("plain", batchv1.JobComplete); j.Status.Succeeded != 12 || j.Status.CompletionTime == nil || j.Status.Active != 0 {
		t.Errorf("plain: %+v", j.Status)
	}
	unfinalized("plain")
	c.awaitEvent(ns, "plain", "Completed")

	create("indexed", "done", func(s *batchv1.JobSpec) { s.CompletionMode = ptr.To(batchv1.IndexedCompletion) })
	if j := ends("indexed", batchv1.JobComplete); j.Status.Succeeded != 12 || j.Status.CompletedIndexes != "0-11" {
		t.Errorf("indexed: %+v", j.Status)
	}
	seen := map[string]bool{}
	for _, p := range must(pods.List(c.ctx, metav1.ListOptions{LabelSelector: "app=indexed"}))(t).Items {
		index := p.Annotations[batchv1.JobCompletionIndexAnnotation]
		if seen[index] || p.Spec.Hostname != "indexed-"+index || p.Spec.Containers[0].Env[0].Name != "JOB_COMPLETION_INDEX" {
			t.Errorf("index %s: %s %+v", index, p.Spec.Hostname, p.Spec.Containers[0].Env)
		}
		seen[index] = true
	}

	create("failing", "failed", func(s *batchv1.JobSpec) { s.BackoffLimit, s.Parallelism = ptr.To[int32](0), ptr.To[int32](1) })
	if j := ends("failing", batchv1.JobFailed); j.Status.Failed != 1 || j.Status.Conditions[len(j.Status.Conditions)-1].Reason != "BackoffLimitExceeded" {
		t.Errorf("failing: %+v", j.Status)
	}
	unfinalized("failing")

	create("per-index", "failed", func(s *batchv1.JobSpec) {
		s.CompletionMode, s.BackoffLimitPerIndex, s.Completions = ptr.To(batchv1.IndexedCompletion), ptr.To[int32](0), ptr.To[int32](4)
	})
	if j := ends("per-index", batchv1.JobFailed); j.Status.FailedIndexes == nil || *j.Status.FailedIndexes != "0-3" {
		t.Errorf("per-index: %+v", j.Status)
	}

	// Suspended, resumed and scaled.
	create("paused", "ready", func(s *batchv1.JobSpec) { s.Suspend = ptr.To(true) })
	ends("paused", batchv1.JobSuspended)
	set := func(name, patch string) {
		t.Helper()
		must(jobs.Patch(c.ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}))(t)
	}
	runs := func(name string, n int32) {
		t.Helper()
		await(c, jobs, name, func(j *batchv1.Job) bool {
			return j.Status.Active == n && j.Status.Ready != nil && *j.Status.Ready == n && j.Status.Terminating != nil && *j.Status.Terminating == 0
		})
	}
	set("paused", `{"spec":{"suspend":false}}`)
	runs("paused", 5)
	set("paused", `{"spec":{"parallelism":2}}`)
	runs("paused", 2)
	set("paused", `{"spec":{"suspend":true}}`)
	runs("paused", 0)
	c.awaitEvent(ns, "paused", "Resumed")

	// A Job that is deleted lets its pods go.
	create("doomed", "ready", func(*batchv1.JobSpec) {})
	runs("doomed", 5)
	if err := jobs.Delete(c.ctx, "doomed", metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)}); err != nil {
		t.Fatal(err)
	}
	awaitGone(c, jobs, "doomed")
	unfinalized("doomed")

	// Somebody else's.
	create("foreign", "done", func(s *batchv1.JobSpec) { s.ManagedBy = ptr.To("example.com/queue") })
	create("last", "done", func(s *batchv1.JobSpec) { s.ActiveDeadlineSeconds = ptr.To[int64](600) })
	ends("last", batchv1.JobComplete)
	c.awaitEvent(ns, "last", "Completed")
	for series, want := range map[string]float64{
		`job_controller_jobs_finished_total NonIndexed CompletionsReached succeeded`: 2,
		`job_controller_jobs_finished_total Indexed CompletionsReached succeeded`:    1,
		`job_controller_jobs_finished_total NonIndexed BackoffLimitExceeded failed`:  1,
		`job_controller_jobs_finished_total Indexed FailedIndexes failed`:            1,
		`job_controller_job_pods_finished_total NonIndexed succeeded`:                24,
		`job_controller_job_pods_finished_total Indexed succeeded`:                   12,
		`job_controller_job_pods_finished_total NonIndexed failed`:                   1,
		`job_controller_job_pods_finished_total Indexed failed`:                      4,
		`job_controller_job_finished_indexes_total global succeeded`:                 12,
		`job_controller_job_finished_indexes_total perIndex failed`:                  4,
		`job_controller_jobs_by_external_controller_total example.com/queue`:         1,
	} {
		if got := counters(t)[series] - before[series]; got != want {
			t.Errorf("%s: %v, want %v", series, got, want)
		}
	}
	if j := must(jobs.Get(c.ctx, "foreign", metav1.GetOptions{}))(t); fmt.Sprint(j.Status) != fmt.Sprint(batchv1.JobStatus{}) {
		t.Errorf("touched another controller's Job: %+v", j.Status)
	}
}

// counters are the process's counters, and how much its histograms have seen, by
// their names and the values of their labels.
func counters(t *testing.T) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for _, family := range must(legacyregistry.DefaultGatherer.Gather())(t) {
		for _, metric := range family.GetMetric() {
			series := family.GetName()
			for _, label := range metric.GetLabel() {
				series += " " + label.GetValue()
			}
			out[series] = metric.GetCounter().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return out
}

// awaitCount waits until a series of [counters] has grown by so much: things are
// counted a moment after what ends them can be seen.
func (c *cluster) awaitCount(before map[string]float64, series string, want float64) {
	c.Helper()
	for counters(c.T)[series]-before[series] != want {
		select {
		case <-c.ctx.Done():
			c.Fatalf("%s grew by %v, not %v", series, counters(c.T)[series]-before[series], want)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
