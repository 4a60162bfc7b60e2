// Package ttlafterfinished deletes Jobs that have been finished for as long as
// their ttlSecondsAfterFinished says
// (https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/).
package ttlafterfinished

import (
	"context"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	batchlisters "k8s.io/client-go/listers/batch/v1"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/reconcile"
)

type controller struct {
	client kubernetes.Interface
	jobs   batchlisters.JobLister
	clock  clock.PassiveClock
	queue  *reconcile.Queue[types.NamespacedName]
}

// Setup is the ttl-after-finished-controller with that many workers.
func Setup(workers int32) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		register()
		jobs := c.Informers.Batch().V1().Jobs()
		x := &controller{client: c.Client, jobs: jobs.Lister(), clock: c.Clock}
		x.queue = reconcile.NewQueue(c, "ttl_jobs_to_delete", int(workers), x.sync)
		enqueue := func(job *batchv1.Job) {
			if _, ok := expires(job); ok {
				x.queue.Add(types.NamespacedName{Namespace: job.Namespace, Name: job.Name})
			}
		}
		return c.Handle(jobs.Informer(), reconcile.Events[*batchv1.Job]{Add: enqueue, Update: func(_, job *batchv1.Job) { enqueue(job) }})
	}
}

// expires is when a Job is to be deleted, if that is to happen.
func expires(job *batchv1.Job) (time.Time, bool) {
	if job.DeletionTimestamp != nil || job.Spec.TTLSecondsAfterFinished == nil {
		return time.Time{}, false
	}
	for _, c := range job.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue && !c.LastTransitionTime.IsZero() {
			return c.LastTransitionTime.Add(time.Duration(*job.Spec.TTLSecondsAfterFinished) * time.Second), true
		}
	}
	return time.Time{}, false
}

func (x *controller) sync(ctx context.Context, name types.NamespacedName) error {
	job, err := x.jobs.Jobs(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if at, ok := expires(job); !ok {
		return nil
	} else if left := at.Sub(x.clock.Now()); left > 0 {
		x.queue.AddAfter(name, left)
		return nil
	}
	// The lifetime may just have been changed.
	if job, err = x.client.BatchV1().Jobs(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{}); err != nil {
		return reconcile.IgnoreNotFound(err)
	}
	at, ok := expires(job)
	if !ok {
		return nil
	}
	if left := at.Sub(x.clock.Now()); left > 0 {
		x.queue.AddAfter(name, left)
		return nil
	}
	policy := metav1.DeletePropagationForeground
	err = x.client.BatchV1().Jobs(name.Namespace).Delete(ctx, name.Name, metav1.DeleteOptions{
		PropagationPolicy: &policy, Preconditions: &metav1.Preconditions{UID: &job.UID, ResourceVersion: &job.ResourceVersion},
	})
	if err != nil {
		return reconcile.IgnoreNotFound(err)
	}
	latency.Observe(x.clock.Since(at).Seconds())
	return nil
}

var (
	latency = metrics.NewHistogram(&metrics.HistogramOpts{
		Subsystem:      "ttl_after_finished_controller",
		Name:           "job_deletion_duration_seconds",
		Help:           "The time it took to delete the job since it became eligible for deletion",
		Buckets:        metrics.ExponentialBuckets(0.1, 2, 14),
		StabilityLevel: metrics.ALPHA,
	})
	register = sync.OnceFunc(func() { legacyregistry.MustRegister(latency) })
)
