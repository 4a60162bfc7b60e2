package deployment

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/controllers/owned"
	"github.com/howdah/howdah/controllers/pod"
)

// A rollout is one look at a Deployment and its ReplicaSets.
type rollout struct {
	*controller
	d     *appsv1.Deployment
	fresh *appsv1.ReplicaSet // of the present template; nil before it is made
	old   []*appsv1.ReplicaSet
}

// rollout looks at the ReplicaSets, and brings the revisions up to date.
func (x *controller) rollout(ctx context.Context, d *appsv1.Deployment, sets []*appsv1.ReplicaSet) (*rollout, error) {
	r := &rollout{controller: x, d: d}
	r.fresh, r.old = split(d, sets)
	if r.fresh == nil {
		return r, nil
	}
	set := r.fresh.DeepCopy()
	if annotate(d, set, lastRevision(r.old)+1) || set.Spec.MinReadySeconds != d.Spec.MinReadySeconds {
		set.Spec.MinReadySeconds = d.Spec.MinReadySeconds
		var err error
		r.fresh, err = r.update(ctx, set)
		return r, err
	}
	changed := r.noteRevision(set.Annotations[revisionAnnotation])
	if hasDeadline(d) && conditionOf(&d.Status, appsv1.DeploymentProgressing) == nil {
		setCondition(&d.Status, condition(appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonFound, fmt.Sprintf("Found new replica set %q", set.Name), x.clock.Now()))
		changed = true
	}
	if !changed {
		return r, nil
	}
	return r, x.writeStatus(ctx, d)
}

// roll is the strategy RollingUpdate: one step up or down, and the informers
// tell when the next may follow.
func (r *rollout) roll(ctx context.Context) error {
	if r.fresh == nil {
		if err := r.create(ctx); err != nil {
			return err
		}
	}
	if size := grow(r.d, r.all(), *r.fresh.Spec.Replicas); size != *r.fresh.Spec.Replicas {
		if err := r.resize(ctx, resize{r.fresh, size}); err != nil {
			return err
		}
		return r.report(ctx)
	}
	if plan := shrink(r.d, r.fresh, r.old); len(plan) > 0 {
		if err := r.resize(ctx, plan...); err != nil {
			return err
		}
		return r.report(ctx)
	}
	return r.finish(ctx)
}

// recreate is the strategy Recreate: no new pod before the last old one is gone.
func (r *rollout) recreate(ctx context.Context) error {
	if running := active(r.old); len(running) > 0 {
		plan := make([]resize, len(running))
		for i, set := range running {
			plan[i] = resize{set, 0}
		}
		if err := r.resize(ctx, plan...); err != nil {
			return err
		}
		return r.report(ctx)
	}
	waiting, err := r.oldPods()
	if err != nil {
		return err
	}
	if waiting {
		return r.report(ctx)
	}
	if r.fresh == nil {
		if err := r.create(ctx); err != nil {
			return err
		}
	}
	if err := r.resize(ctx, resize{r.fresh, *r.d.Spec.Replicas}); err != nil {
		return err
	}
	return r.finish(ctx)
}

// scale gives the ReplicaSets what a scaled or paused Deployment asks for,
// without going on with a rollout.
func (r *rollout) scale(ctx context.Context) error {
	var plan []resize
	switch one := activeOrLatest(r.fresh, r.old); {
	case one != nil && *one.Spec.Replicas != *r.d.Spec.Replicas:
		plan = []resize{{one, *r.d.Spec.Replicas}}
	case one != nil:
	case saturated(r.d, r.fresh):
		for _, set := range active(r.old) {
			plan = append(plan, resize{set, 0})
		}
	case rolling(r.d):
		plan = proportions(r.d, r.all())
	}
	if err := r.resize(ctx, plan...); err != nil {
		return err
	}
	if r.d.Spec.Paused {
		if err := r.cleanUp(ctx); err != nil {
			return err
		}
	}
	return r.settle(ctx)
}

// oldPods is whether pods of old ReplicaSets still run.
func (r *rollout) oldPods() (bool, error) {
	if actual(r.old) > 0 {
		return true, nil
	}
	for _, set := range r.old {
		pods, err := owned.By[*corev1.Pod](r.pods, set)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return !pod.Terminal(p) }) {
			return true, nil
		}
	}
	return false, nil
}

// create makes the ReplicaSet of the present template.
func (r *rollout) create(ctx context.Context) error {
	d := r.d
	revision := lastRevision(r.old) + 1
	set := newReplicaSet(d, r.old, revision)
	created, err := r.client.AppsV1().ReplicaSets(d.Namespace).Create(ctx, set, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err):
		return r.collide(ctx, set, err)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return err
	case err != nil:
		message := fmt.Sprintf("Failed to create new replica set %q: %v", set.Name, err)
		r.events.Event(d, corev1.EventTypeWarning, reasonCreateFailed, message)
		if hasDeadline(d) {
			setCondition(&d.Status, condition(appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonCreateFailed, message, r.clock.Now()))
			if statusErr := r.writeStatus(ctx, d); statusErr != nil {
				r.queue.AddRateLimited(cache.MetaObjectToName(d))
			}
		}
		return err
	}
	r.wrote(d, r.sets, created)
	r.fresh = created
	if *created.Spec.Replicas > 0 {
		r.events.Eventf(d, corev1.EventTypeNormal, "ScalingReplicaSet", "Scaled up replica set %s from 0 to %d", created.Name, *created.Spec.Replicas)
	}
	changed := r.noteRevision(strconv.FormatInt(revision, 10))
	if hasDeadline(d) {
		setCondition(&d.Status, condition(appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonCreated, fmt.Sprintf("Created new replica set %q", created.Name), r.clock.Now()))
		changed = true
	}
	if !changed {
		return nil
	}
	return r.writeStatus(ctx, d)
}

// collide is for a ReplicaSet whose name is taken: by ours, which we hadn't seen,
// or by another template of the same hash; then the Deployment counts collisions,
// which gives the next try another hash.
func (r *rollout) collide(ctx context.Context, wanted *appsv1.ReplicaSet, exists error) error {
	set, err := r.client.AppsV1().ReplicaSets(wanted.Namespace).Get(ctx, wanted.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if metav1.IsControlledBy(set, r.d) && sameTemplate(&set.Spec.Template, &r.d.Spec.Template) {
		r.wrote(r.d, r.sets, set)
		r.fresh = set
		if r.noteRevision(strconv.FormatInt(revisionOf(set), 10)) {
			return r.writeStatus(ctx, r.d)
		}
		return nil
	}
	count := int32(1)
	if r.d.Status.CollisionCount != nil {
		count = *r.d.Status.CollisionCount + 1
	}
	r.d.Status.CollisionCount = &count
	if err := r.writeStatus(ctx, r.d); err != nil {
		return err
	}
	return exists
}

// resize gives ReplicaSets their sizes, and the annotations with it.
func (r *rollout) resize(ctx context.Context, plan ...resize) error {
	for _, step := range plan {
		set := step.set.DeepCopy()
		before := *set.Spec.Replicas
		*set.Spec.Replicas = step.size
		if !annotateReplicas(r.d, set) && before == step.size {
			continue
		}
		written, err := r.update(ctx, set)
		if err != nil {
			return err
		}
		if step.size != before {
			direction := "up"
			if step.size < before {
				direction = "down"
			}
			r.events.Eventf(r.d, corev1.EventTypeNormal, "ScalingReplicaSet", "Scaled %s replica set %s from %d to %d", direction, set.Name, before, step.size)
		}
		if r.fresh == step.set {
			r.fresh = written
		} else if i := slices.Index(r.old, step.set); i >= 0 {
			r.old[i] = written
		}
	}
	return nil
}

func (r *rollout) update(ctx context.Context, set *appsv1.ReplicaSet) (*appsv1.ReplicaSet, error) {
	written, err := r.client.AppsV1().ReplicaSets(set.Namespace).Update(ctx, set, metav1.UpdateOptions{})
	if err != nil {
		return set, err
	}
	r.wrote(r.d, r.sets, written)
	return written, nil
}

// finish drops old revisions when the rollout is over, and reports.
func (r *rollout) finish(ctx context.Context) error {
	if complete(r.d, &r.d.Status) {
		if err := r.cleanUp(ctx); err != nil {
			return err
		}
	}
	return r.report(ctx)
}

func (r *rollout) cleanUp(ctx context.Context) error {
	for _, set := range outlived(r.d, r.old) {
		if err := r.client.AppsV1().ReplicaSets(set.Namespace).Delete(ctx, set.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		r.tracker.Deleted(cache.MetaObjectToName(r.d), r.sets.GetStore(), set)
	}
	return nil
}

// report writes the status with the progress of the rollout.
func (r *rollout) report(ctx context.Context) error {
	now := r.clock.Now()
	s := progress(r.d, r.fresh, r.old, now)
	if !equality.Semantic.DeepEqual(r.d.Status, s) {
		r.d.Status = s
		return r.writeStatus(ctx, r.d)
	}
	if next := nextCheck(r.d, now); next > 0 {
		r.queue.AddAfter(cache.MetaObjectToName(r.d), next)
	}
	return nil
}

// settle writes the status without looking at progress.
func (r *rollout) settle(ctx context.Context) error {
	s := status(r.d, r.fresh, r.old, r.clock.Now())
	if equality.Semantic.DeepEqual(r.d.Status, s) {
		return nil
	}
	r.d.Status = s
	return r.writeStatus(ctx, r.d)
}

// noteRevision puts the revision on the Deployment.
func (r *rollout) noteRevision(revision string) (changed bool) {
	if r.d.Annotations[revisionAnnotation] == revision {
		return false
	}
	r.d.Annotations = with(r.d.Annotations, revisionAnnotation, revision)
	return true
}

func (r *rollout) all() []*appsv1.ReplicaSet {
	if r.fresh == nil {
		return r.old
	}
	return append(slices.Clone(r.old), r.fresh)
}
