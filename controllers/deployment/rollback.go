package deployment

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// rollbackTo is the revision that the annotation left of extensions/v1beta1's
// rollback asks for; 0 is the last one. kubectl rollout undo doesn't use it, it
// patches the template.
func rollbackTo(d *appsv1.Deployment) (revision int64, asked bool) {
	n, err := strconv.ParseInt(d.Annotations[appsv1.DeprecatedRollbackTo], 10, 64)
	return n, err == nil
}

// rollback puts a revision's template into the Deployment.
func (x *controller) rollback(ctx context.Context, d *appsv1.Deployment, sets []*appsv1.ReplicaSet, revision int64) error {
	reason, message := "DeploymentRollbackRevisionNotFound", "Unable to find the revision to rollback to."
	kind := corev1.EventTypeWarning
	if revision == 0 {
		if revision = penultimate(sets); revision == 0 {
			message = "Unable to find last revision."
		}
	}
	for _, set := range sets {
		if revision == 0 || revisionOf(set) != revision {
			continue
		}
		if sameTemplate(&d.Spec.Template, &set.Spec.Template) {
			reason, message = "DeploymentRollbackTemplateUnchanged", fmt.Sprintf("The rollback revision contains the same template as current deployment %q", d.Name)
			break
		}
		restore(d, set)
		kind, reason, message = corev1.EventTypeNormal, "DeploymentRollback", fmt.Sprintf("Rolled back deployment %q to revision %d", d.Name, revision)
		break
	}
	delete(d.Annotations, appsv1.DeprecatedRollbackTo)
	written, err := x.client.AppsV1().Deployments(d.Namespace).Update(ctx, d, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	x.wrote(d, x.deployments, written)
	x.events.Event(d, kind, reason, message)
	return nil
}

// restore takes the template and the annotations of a ReplicaSet.
func restore(d *appsv1.Deployment, set *appsv1.ReplicaSet) {
	d.Spec.Template = *withoutHash(&set.Spec.Template).DeepCopy()
	maps.DeleteFunc(d.Annotations, func(key, _ string) bool { return !slices.Contains(ownAnnotations, key) })
	for key, value := range set.Annotations {
		if !slices.Contains(ownAnnotations, key) {
			d.Annotations = with(d.Annotations, key, value)
		}
	}
}

// penultimate is the revision before the last, or 0.
func penultimate(sets []*appsv1.ReplicaSet) int64 {
	var last, before int64
	for _, set := range sets {
		switch n := revisionOf(set); {
		case n >= last:
			last, before = n, last
		case n > before:
			before = n
		}
	}
	return before
}
