// Package cronjob creates Jobs by schedule
// (https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/).
package cronjob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	batchlisters "k8s.io/client-go/listers/batch/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/tools/reference"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/owned"
	"github.com/howdah/howdah/controllers/reconcile"
)

var cronJobKind = batchv1.SchemeGroupVersion.WithKind("CronJob")

type controller struct {
	client   kubernetes.Interface
	clock    clock.PassiveClock
	events   record.EventRecorder
	lister   batchlisters.CronJobLister
	cronJobs cache.SharedIndexInformer
	jobs     cache.SharedIndexInformer
	queue    *reconcile.Queue[cache.ObjectName]
	tracker  freshness.Tracker
}

// Setup is the cronjob-controller.
func Setup(workers int) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		register()
		cronJobs, jobs := c.Informers.Batch().V1().CronJobs(), c.Informers.Batch().V1().Jobs()
		x := &controller{
			client: c.Client, clock: c.Clock, events: c.Recorder("cronjob-controller"),
			lister: cronJobs.Lister(), cronJobs: cronJobs.Informer(), jobs: jobs.Informer(),
		}
		if err := owned.Index(x.jobs); err != nil {
			return err
		}
		x.queue = reconcile.NewQueue(c, "cronjob", workers, x.sync)
		return errors.Join(
			c.Handle(x.cronJobs, reconcile.Each(func(j *batchv1.CronJob) { x.queue.Add(cache.MetaObjectToName(j)) })),
			c.Handle(x.jobs, owned.Watch[*batchv1.CronJob, *batchv1.Job]{
				Kind:    cronJobKind.Kind,
				Get:     func(namespace, name string) (*batchv1.CronJob, error) { return x.lister.CronJobs(namespace).Get(name) },
				Enqueue: func(name cache.ObjectName) { x.queue.Add(name) },
			}.Handler()),
		)
	}
}

func (x *controller) sync(ctx context.Context, key cache.ObjectName) error {
	cached, err := x.lister.CronJobs(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		x.tracker.Forget(key)
		return nil
	}
	if err != nil {
		return err
	}
	if !x.tracker.Fresh(key) {
		x.queue.AddAfter(key, freshness.Recheck)
		return nil
	}
	jobs, err := owned.By[*batchv1.Job](x.jobs, cached)
	if err != nil {
		return err
	}
	r := &run{controller: x, cron: cached.DeepCopy(), now: x.clock.Now()}
	syncErr := r.account(ctx, jobs)
	if syncErr == nil {
		r.forgetOldest(ctx, jobs)
		syncErr = r.start(ctx)
	}
	if !equality.Semantic.DeepEqual(cached.Status, r.cron.Status) {
		written, err := x.client.BatchV1().CronJobs(key.Namespace).UpdateStatus(ctx, r.cron, metav1.UpdateOptions{})
		if err != nil {
			return errors.Join(syncErr, err)
		}
		x.tracker.Wrote(key, x.cronJobs.GetStore(), written)
	}
	if apierrors.HasStatusCause(syncErr, corev1.NamespaceTerminatingCause) {
		return nil
	}
	return syncErr
}

// A run is one look at a CronJob.
type run struct {
	*controller
	cron *batchv1.CronJob
	now  time.Time
}

// account brings the status's list of active Jobs up to date.
func (r *run) account(ctx context.Context, jobs []*batchv1.Job) error {
	status := &r.cron.Status
	known := map[types.UID]bool{}
	for _, j := range jobs {
		known[j.UID] = true
		listed := r.lists(j.UID)
		end := ending(j)
		switch {
		case end == "" && !listed:
			r.events.Eventf(r.cron, corev1.EventTypeWarning, "UnexpectedJob", "Saw a job that the controller did not create or forgot: %s", j.Name)
		case end != "" && listed:
			r.unlist(j.UID)
			r.events.Eventf(r.cron, corev1.EventTypeNormal, "SawCompletedJob", "Saw completed job: %s, condition: %v", j.Name, end)
		}
		if end == batchv1.JobComplete && j.Status.CompletionTime != nil && (status.LastSuccessfulTime == nil || status.LastSuccessfulTime.Before(j.Status.CompletionTime)) {
			status.LastSuccessfulTime = j.Status.CompletionTime
		}
	}
	for _, ref := range slices.Clone(status.Active) {
		if known[ref.UID] {
			continue
		}
		_, err := r.client.BatchV1().Jobs(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			r.events.Eventf(r.cron, corev1.EventTypeNormal, "MissingJob", "Active job went missing: %v", ref.Name)
			r.unlist(ref.UID)
		case err != nil:
			return err
		}
	}
	return nil
}

// forgetOldest deletes the Jobs that the history has no room for. One that can't
// be deleted now is tried again with the next.
func (r *run) forgetOldest(ctx context.Context, jobs []*batchv1.Job) {
	for kind, limit := range map[batchv1.JobConditionType]*int32{batchv1.JobComplete: r.cron.Spec.SuccessfulJobsHistoryLimit, batchv1.JobFailed: r.cron.Spec.FailedJobsHistoryLimit} {
		if limit == nil {
			continue
		}
		for _, j := range oldest(jobs, kind, int(*limit)) {
			_ = r.delete(ctx, j) // told by an event
		}
	}
}

// oldest are the Jobs that ended in this way beyond the limit.
func oldest(jobs []*batchv1.Job, kind batchv1.JobConditionType, limit int) []*batchv1.Job {
	ended := slices.DeleteFunc(slices.Clone(jobs), func(j *batchv1.Job) bool { return ending(j) != kind || j.DeletionTimestamp != nil })
	slices.SortFunc(ended, func(a, b *batchv1.Job) int {
		at, bt := a.Status.StartTime, b.Status.StartTime
		switch {
		case at == nil && bt != nil:
			return 1
		case at != nil && bt == nil:
			return -1
		case at != nil && !at.Equal(bt):
			return at.Compare(bt.Time)
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return ended[:max(0, len(ended)-limit)]
}

// start starts a Job if one is due, and asks to be called when the next is.
func (r *run) start(ctx context.Context) error {
	spec := &r.cron.Spec
	if r.cron.DeletionTimestamp != nil {
		return nil
	}
	if spec.TimeZone != nil {
		if _, err := time.LoadLocation(*spec.TimeZone); err != nil {
			r.warn("UnknownTimeZone", "invalid timeZone: %q: %s", *spec.TimeZone, err)
			return nil
		}
	}
	if spec.Suspend != nil && *spec.Suspend {
		return nil
	}
	if namesZone(spec.Schedule) {
		r.warn("UnsupportedSchedule", "CRON_TZ or TZ used in schedule %q is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details", spec.Schedule)
	}
	schedule, err := scheduleOf(spec)
	if err != nil {
		r.warn("UnparseableSchedule", "unparseable schedule: %q : %s", spec.Schedule, err)
		return nil
	}
	at, many, err := due(r.cron, schedule, r.now)
	if err != nil {
		r.warn("InvalidSchedule", "invalid schedule: %s : %s", spec.Schedule, err)
		return nil
	}
	if many {
		r.warn("TooManyMissedTimes", "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew")
	}
	if !at.IsZero() {
		if err := r.startAt(ctx, at); err != nil {
			return err
		}
	}
	if next := untilNext(r.cron, schedule, r.now); next > 0 {
		r.queue.AddAfter(cache.MetaObjectToName(r.cron), next)
	}
	return nil
}

// startAt starts the Job of a time, unless the CronJob's rules forbid it.
func (r *run) startAt(ctx context.Context, at time.Time) error {
	spec, status := &r.cron.Spec, &r.cron.Status
	name := fmt.Sprintf("%s-%d", r.cron.Name, at.Unix()/60)
	switch {
	case spec.StartingDeadlineSeconds != nil && at.Add(time.Duration(*spec.StartingDeadlineSeconds)*time.Second).Before(r.now):
		r.warn("MissSchedule", "Missed scheduled time to start a job: %s", at.UTC().Format(time.RFC1123Z))
		return nil
	case slices.ContainsFunc(status.Active, func(ref corev1.ObjectReference) bool { return ref.Name == name }), status.LastScheduleTime != nil && status.LastScheduleTime.Time.Equal(at):
		return nil
	case spec.ConcurrencyPolicy == batchv1.ForbidConcurrent && len(status.Active) > 0:
		r.events.Event(r.cron, corev1.EventTypeNormal, "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid")
		return nil
	case spec.ConcurrencyPolicy == batchv1.ReplaceConcurrent:
		for _, ref := range slices.Clone(status.Active) {
			j, err := r.client.BatchV1().Jobs(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
			if err != nil {
				r.warn("FailedGet", "Get job: %v", err)
				return err
			}
			if err := r.delete(ctx, j); err != nil {
				return fmt.Errorf("could not replace job %s/%s: %w", j.Namespace, j.Name, err)
			}
		}
	}
	wanted, err := newJob(r.cron, name, at)
	if err != nil {
		return err
	}
	created, err := r.client.BatchV1().Jobs(r.cron.Namespace).Create(ctx, wanted, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err):
		// Ours, of a sync whose status was not written; or somebody else's.
		created, err = r.client.BatchV1().Jobs(r.cron.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil || !metav1.IsControlledBy(created, r.cron) {
			return err
		}
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return err
	case err != nil:
		r.warn("FailedCreate", "Error creating job: %v", err)
		return err
	default:
		skew.Observe(created.CreationTimestamp.Sub(at).Seconds())
		r.events.Eventf(r.cron, corev1.EventTypeNormal, "SuccessfulCreate", "Created job %v", created.Name)
	}
	r.tracker.Wrote(cache.MetaObjectToName(r.cron), r.jobs.GetStore(), created)
	if ending(created) == "" {
		ref, err := reference.GetReference(scheme.Scheme, created)
		if err != nil {
			return fmt.Errorf("unable to make object reference for job for %s/%s: %w", r.cron.Namespace, r.cron.Name, err)
		}
		status.Active = append(status.Active, *ref)
	}
	status.LastScheduleTime = &metav1.Time{Time: at}
	return nil
}

// newJob is the Job of a scheduled time.
func newJob(c *batchv1.CronJob, name string, at time.Time) (*batchv1.Job, error) {
	zone := time.UTC
	if c.Spec.TimeZone != nil {
		var err error
		if zone, err = time.LoadLocation(*c.Spec.TimeZone); err != nil {
			return nil, err
		}
	}
	template := c.Spec.JobTemplate.DeepCopy()
	annotations := maps.Clone(template.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[batchv1.CronJobScheduledTimestampAnnotation] = at.In(zone).Format(time.RFC3339)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: c.Namespace, Labels: template.Labels, Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(c, cronJobKind)},
		},
		Spec: template.Spec,
	}, nil
}

func (r *run) delete(ctx context.Context, j *batchv1.Job) error {
	background := metav1.DeletePropagationBackground
	if err := r.client.BatchV1().Jobs(j.Namespace).Delete(ctx, j.Name, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil && !apierrors.IsNotFound(err) {
		r.warn("FailedDelete", "Deleted job: %v", err)
		return err
	}
	r.tracker.Deleted(cache.MetaObjectToName(r.cron), r.jobs.GetStore(), j)
	r.unlist(j.UID)
	r.events.Eventf(r.cron, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted job %v", j.Name)
	return nil
}

func (r *run) warn(reason, format string, args ...any) {
	r.events.Eventf(r.cron, corev1.EventTypeWarning, reason, format, args...)
}

func (r *run) lists(uid types.UID) bool {
	return slices.ContainsFunc(r.cron.Status.Active, func(ref corev1.ObjectReference) bool { return ref.UID == uid })
}

func (r *run) unlist(uid types.UID) {
	r.cron.Status.Active = slices.DeleteFunc(r.cron.Status.Active, func(ref corev1.ObjectReference) bool { return ref.UID == uid })
}

// ending is how a Job ended, or "".
func ending(j *batchv1.Job) batchv1.JobConditionType {
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return c.Type
		}
	}
	return ""
}
