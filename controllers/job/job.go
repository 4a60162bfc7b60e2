// Package job runs the pods of Jobs until enough have succeeded or too many
// failed (https://kubernetes.io/docs/concepts/workloads/controllers/job/).
//
// Every sync is one look at a Job and its pods (look.go), whose decisions are
// functions of these and the time, and which then is done (pods.go) and counted
// (track.go).
package job

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	batchlisters "k8s.io/client-go/listers/batch/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/owned"
	"github.com/howdah/howdah/controllers/pod"
	"github.com/howdah/howdah/controllers/reconcile"
)

// gather is how long news of pods are gathered before a Job is looked at, so that
// pods that end at the same time are counted together. It is
// kube-controller-manager's; who polls every two seconds, as Kubernetes' own
// tests do, sees also the shortest Job active.
const gather = time.Second

var jobKind = batchv1.SchemeGroupVersion.WithKind("Job")

type controller struct {
	client  kubernetes.Interface
	clock   clock.PassiveClock
	lister  batchlisters.JobLister
	jobs    cache.SharedIndexInformer
	pods    *pod.Control
	queue   *reconcile.Queue[cache.ObjectName]
	orphans *reconcile.Queue[cache.ObjectName] // pods whose finalizer nobody needs
	// backoff has the failures of Jobs. It is lost when the controller restarts; a
	// Job then waits less.
	backoff owned.Notes[failures]
}

// Setup is the job-controller.
func Setup(workers int) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		register()
		jobs := c.Informers.Batch().V1().Jobs()
		control, err := pod.NewControl(c, "job-controller")
		if err != nil {
			return err
		}
		x := &controller{client: c.Client, clock: c.Clock, lister: jobs.Lister(), jobs: jobs.Informer(), pods: control}
		x.queue = reconcile.NewQueue(c, "job", workers, x.sync)
		x.orphans = reconcile.NewQueue(c, "job_orphan_pod", 1, x.syncOrphan)
		if err := c.Handle(x.jobs, reconcile.Events[*batchv1.Job]{
			Add: func(j *batchv1.Job) {
				if managedElsewhere(j) {
					elsewhere.WithLabelValues(*j.Spec.ManagedBy).Inc()
				}
				x.queue.Add(cache.MetaObjectToName(j))
			},
			Update: func(before, j *batchv1.Job) {
				if ended(j) && !ended(before) {
					x.release(j)
				}
				if name := cache.MetaObjectToName(j); j.Generation == before.Generation {
					x.queue.AddAfter(name, gather) // news of its status, from its pods' news
				} else {
					x.queue.Add(name)
				}
			},
			Delete: func(j *batchv1.Job) {
				x.release(j)
				x.queue.Add(cache.MetaObjectToName(j))
			},
		}); err != nil {
			return err
		}
		release := func(p *corev1.Pod) {
			if x.orphaned(p) {
				x.orphans.Add(cache.MetaObjectToName(p))
			}
		}
		if err := c.Handle(control.Informer, reconcile.Events[*corev1.Pod]{
			Add: func(p *corev1.Pod) {
				observeTerminated(nil, p)
				release(p)
			},
			Update: func(before, p *corev1.Pod) {
				observeTerminated(before, p)
				release(p)
			},
			Delete: func(p *corev1.Pod) { observeTerminated(p, nil) },
		}); err != nil {
			return err
		}
		return c.Handle(control.Informer, owned.Watch[*batchv1.Job, *corev1.Pod]{
			Kind: jobKind.Kind,
			Get:  func(namespace, name string) (*batchv1.Job, error) { return x.lister.Jobs(namespace).Get(name) },
			List: func(namespace string) ([]*batchv1.Job, error) {
				return x.lister.Jobs(namespace).List(labels.Everything())
			},
			Selector: func(j *batchv1.Job) (labels.Selector, error) {
				return metav1.LabelSelectorAsSelector(j.Spec.Selector)
			},
			Enqueue: func(name cache.ObjectName) { x.queue.AddAfter(name, gather) },
		}.Handler())
	}
}

func (x *controller) sync(ctx context.Context, key cache.ObjectName) error {
	cached, err := x.lister.Jobs(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		x.pods.Tracker.Forget(key)
		x.backoff.Drop(key)
		return nil
	}
	if err != nil {
		return err
	}
	if managedElsewhere(cached) {
		return nil
	}
	if ended(cached) {
		x.backoff.Drop(key)
		return nil
	}
	if !x.pods.Tracker.Fresh(key) {
		stale.WithLabelValues(batchv1.GroupName, "jobs").Inc()
		x.queue.AddAfter(key, freshness.Recheck)
		return nil
	}
	job := cached.DeepCopy()
	if mode := job.Spec.CompletionMode; mode != nil && *mode != batchv1.NonIndexedCompletion && *mode != batchv1.IndexedCompletion {
		x.pods.Events.Event(job, corev1.EventTypeWarning, "UnknownCompletionMode", "Skipped Job sync because completion mode is unknown")
		return nil
	}
	began := x.clock.Now()
	did, err := x.work(ctx, job)
	observeSync(job, did, err, x.clock.Since(began))
	return err
}

// work brings a Job on, and returns which action that was.
func (x *controller) work(ctx context.Context, job *batchv1.Job) (did string, err error) {
	pods, err := x.claim(ctx, job)
	if err != nil {
		return didReconcile, err
	}
	now := x.clock.Now()
	before := job.Status.DeepCopy()
	if job.Status.StartTime == nil && !suspended(job) {
		start := metav1.NewTime(now)
		job.Status.StartTime = &start
	}
	l := newLook(job, pods, x.backoff.Get(cache.MetaObjectToName(job)), now)
	did, failure := x.act(ctx, l)
	job.Status.Active, job.Status.Ready, job.Status.Terminating = l.running, &l.ready, &l.terminating
	if err := x.track(ctx, l, before); err != nil {
		return did, fmt.Errorf("tracking status: %w", err)
	}
	return did, failure
}

// act creates or deletes pods, and returns which.
func (x *controller) act(ctx context.Context, l *look) (did string, err error) {
	key := cache.MetaObjectToName(l.job)
	if l.finished != nil {
		err := x.remove(ctx, l, l.active, false)
		if l.running > 0 {
			l.finished = nil // not before all are being deleted
		}
		return didDelete, err
	}
	if l.job.Spec.ActiveDeadlineSeconds != nil && !suspended(l.job) {
		x.queue.AddAfter(key, l.untilDeadline())
	}
	if l.job.DeletionTimestamp != nil {
		return didTrack, nil
	}
	p := l.plan()
	if p.wait > 0 {
		x.queue.AddAfter(key, max(gather, p.wait))
	}
	did = didTrack
	switch {
	case len(p.remove) > 0:
		did, err = didDelete, x.remove(ctx, l, p.remove, true)
	case p.create > 0:
		did, err = didCreate, x.create(ctx, l, p)
	}
	if l.complete() {
		l.finished = condition(batchv1.JobSuccessCriteriaMet, corev1.ConditionTrue, batchv1.JobReasonCompletionsReached, "Reached expected number of succeeded pods", l.now)
		return did, err
	}
	x.noteSuspension(l)
	return did, err
}

// noteSuspension says in the status when the Job is suspended or resumed.
func (x *controller) noteSuspension(l *look) {
	if suspended(l.job) {
		if setCondition(l.job, condition(batchv1.JobSuspended, corev1.ConditionTrue, "JobSuspended", "Job suspended", l.now)) {
			l.job.Status.StartTime = nil
			x.pods.Events.Event(l.job, corev1.EventTypeNormal, "Suspended", "Job suspended")
		}
		return
	}
	if setCondition(l.job, condition(batchv1.JobSuspended, corev1.ConditionFalse, "JobResumed", "Job resumed", l.now)) {
		start := metav1.NewTime(l.now)
		l.job.Status.StartTime = &start
		x.pods.Events.Event(l.job, corev1.EventTypeNormal, "Resumed", "Job resumed")
	}
}

func (x *controller) claim(ctx context.Context, job *batchv1.Job) ([]*corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(job.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("couldn't convert Job selector: %w", err)
	}
	candidates, err := x.pods.Candidates(job)
	if err != nil {
		return nil, err
	}
	claim := x.pods.Claim(job, jobKind, selector, owned.Uncached(job.Name, x.client.BatchV1().Jobs(job.Namespace).Get))
	claim.Finalizer = batchv1.JobTrackingFinalizer
	pods, err := claim.All(ctx, candidates)
	for i, p := range pods {
		if !metav1.IsControlledBy(p, job) && !tracked(p) { // just adopted: the finalizer is there
			pods[i] = p.DeepCopy()
			pods[i].Finalizers = append(pods[i].Finalizers, batchv1.JobTrackingFinalizer)
		}
	}
	return pods, err
}

// release lets go of all pods of a Job that has ended or is gone.
func (x *controller) release(job *batchv1.Job) {
	pods, err := owned.By[*corev1.Pod](x.pods.Informer, job)
	if err != nil {
		return // the index is there
	}
	for _, p := range pods {
		if tracked(p) {
			x.orphans.Add(cache.MetaObjectToName(p))
		}
	}
}

// orphaned is whether a pod has the finalizer and no Job that will remove it.
func (x *controller) orphaned(p *corev1.Pod) bool {
	if !tracked(p) {
		return false
	}
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil {
		return true
	}
	if ref.Kind != jobKind.Kind || ref.APIVersion != jobKind.GroupVersion().String() {
		return false
	}
	job, err := x.lister.Jobs(p.Namespace).Get(ref.Name)
	switch {
	case apierrors.IsNotFound(err) || err == nil && job.UID != ref.UID:
		return true
	case err != nil:
		return false
	}
	return ended(job) && !managedElsewhere(job)
}

// managedElsewhere is whether a Job is another controller's.
func managedElsewhere(job *batchv1.Job) bool {
	return job.Spec.ManagedBy != nil && *job.Spec.ManagedBy != batchv1.JobControllerName
}

func (x *controller) syncOrphan(ctx context.Context, key cache.ObjectName) error {
	cached, ok, err := x.pods.Informer.GetStore().GetByKey(key.String())
	if err != nil || !ok {
		return err
	}
	if p, ok := cached.(*corev1.Pod); ok && x.orphaned(p) {
		if err := x.removeFinalizer(ctx, nil, p); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
