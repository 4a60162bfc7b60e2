package daemonset

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/controllers/pod"
	"github.com/howdah/howdah/controllers/revision"
)

// present is the revision of the present template, which is made if there is
// none, and the others.
func (x *controller) present(ctx context.Context, ds *appsv1.DaemonSet, revisions []*appsv1.ControllerRevision, pods []*corev1.Pod) (present *appsv1.ControllerRevision, old []*appsv1.ControllerRevision, err error) {
	patch, err := revision.Patch(ds)
	if err != nil {
		return nil, nil, err
	}
	revision.Sort(revisions)
	var same []*appsv1.ControllerRevision
	for _, r := range revisions {
		if bytes.Equal(r.Data.Raw, patch) {
			same = append(same, r)
		} else {
			old = append(old, r)
		}
	}
	if len(same) == 0 {
		present, err = x.snapshot(ctx, ds, patch, revision.Next(old))
		return present, old, err
	}
	present = same[len(same)-1]
	if err := x.merge(ctx, ds, present, same[:len(same)-1], pods); err != nil {
		return nil, nil, err
	}
	if next := revision.Next(old); present.Revision < next {
		present, err = x.history.Renumber(ctx, ds, present, next)
	}
	return present, old, err
}

// merge leaves one of several revisions of the same template, whose pods it
// gives the others'.
func (x *controller) merge(ctx context.Context, ds *appsv1.DaemonSet, present *appsv1.ControllerRevision, twins []*appsv1.ControllerRevision, pods []*corev1.Pod) error {
	if len(twins) == 0 {
		return nil
	}
	hashes := map[string]bool{}
	for _, twin := range twins {
		hashes[twin.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]] = true
	}
	hash := present.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]string{appsv1.DefaultDaemonSetUniqueLabelKey: hash}}})
	if err != nil {
		return fmt.Errorf("encode the patch of labels: %w", err)
	}
	for _, p := range pods {
		if hashes[p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]] {
			if err := x.pods.Patch(ctx, ds, p, types.MergePatchType, patch); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
	for _, twin := range twins {
		if err := x.history.Delete(ctx, ds, twin); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// snapshot makes a revision. If another template has its hash, the DaemonSet
// counts the collision, which gives the next try another one.
func (x *controller) snapshot(ctx context.Context, ds *appsv1.DaemonSet, patch []byte, number int64) (*appsv1.ControllerRevision, error) {
	hash := pod.Hash(&ds.Spec.Template, ds.Status.CollisionCount)
	marks := maps.Clone(ds.Spec.Template.Labels)
	if marks == nil {
		marks = map[string]string{}
	}
	marks[appsv1.DefaultDaemonSetUniqueLabelKey] = hash
	r := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name: ds.Name + "-" + hash, Namespace: ds.Namespace, Labels: marks, Annotations: ds.Annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(ds, daemonSetKind)},
		},
		Data: runtime.RawExtension{Raw: patch}, Revision: number,
	}
	created, err := x.history.Create(ctx, ds, r)
	if !apierrors.IsAlreadyExists(err) {
		return created, err
	}
	there, getErr := x.history.Get(ctx, r.Namespace, r.Name)
	if getErr != nil {
		return nil, getErr
	}
	if revision.Same(there, r) {
		return there, nil
	}
	changed := ds.DeepCopy()
	count := int32(1)
	if ds.Status.CollisionCount != nil {
		count = *ds.Status.CollisionCount + 1
	}
	changed.Status.CollisionCount = &count
	written, updateErr := x.client.AppsV1().DaemonSets(ds.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	if updateErr != nil {
		return nil, updateErr
	}
	x.pods.Tracker.Wrote(cache.MetaObjectToName(ds), x.sets.GetStore(), written)
	return nil, err
}

// cleanUp deletes the revisions that the history has no room for and no pod is
// of.
func (x *controller) cleanUp(ctx context.Context, l *look, old []*appsv1.ControllerRevision, pods []*corev1.Pod) error {
	if l.ds.Spec.RevisionHistoryLimit == nil {
		return nil
	}
	used := map[string]bool{}
	for _, p := range pods {
		used[p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]] = true
	}
	excess := len(old) - int(*l.ds.Spec.RevisionHistoryLimit)
	for _, r := range revision.Outlived(old, 0, func(r *appsv1.ControllerRevision) bool { return used[r.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]] }) {
		if excess <= 0 {
			return nil
		}
		if err := x.history.Delete(ctx, l.ds, r); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("failed to clean up revisions of DaemonSet: %w", err)
		}
		excess--
	}
	return nil
}
