// Package revision owns the history of templates that DaemonSets and
// StatefulSets keep in ControllerRevisions: what a revision holds, which of them
// an owner has, and which it no longer needs.
package revision

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/owned"
)

// Patch is what a revision holds: the patch that makes any other spec.template of
// the object this one. kubectl rollout undo applies it.
func Patch(object any) ([]byte, error) {
	encoded, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode the template: %w", err)
	}
	var whole struct {
		Spec struct {
			Template map[string]any `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(encoded, &whole); err != nil {
		return nil, fmt.Errorf("decode the template: %w", err)
	}
	whole.Spec.Template["$patch"] = "replace"
	return json.Marshal(map[string]any{"spec": map[string]any{"template": whole.Spec.Template}})
}

// Same is whether two revisions hold the same.
func Same(a, b *appsv1.ControllerRevision) bool { return bytes.Equal(a.Data.Raw, b.Data.Raw) }

// Sort puts the oldest first.
func Sort(revisions []*appsv1.ControllerRevision) {
	slices.SortStableFunc(revisions, func(a, b *appsv1.ControllerRevision) int {
		return cmp.Or(cmp.Compare(a.Revision, b.Revision), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
}

// Next is the number of the revision after these.
func Next(revisions []*appsv1.ControllerRevision) int64 {
	next := int64(1)
	for _, r := range revisions {
		next = max(next, r.Revision+1)
	}
	return next
}

// Outlived are the oldest revisions that a history of limit has no room for.
// Those that live is true of are in use; they stay and don't count.
func Outlived(revisions []*appsv1.ControllerRevision, limit int, live func(*appsv1.ControllerRevision) bool) []*appsv1.ControllerRevision {
	old := slices.DeleteFunc(slices.Clone(revisions), live)
	Sort(old)
	return old[:max(0, len(old)-max(0, limit))]
}

// A History reads and writes revisions. Its informer must have owned.Index.
type History struct {
	Client   kubernetes.Interface
	Informer cache.SharedIndexInformer
	Tracker  *freshness.Tracker
}

// Of claims the owner's revisions.
func (h *History) Of(ctx context.Context, owner metav1.Object, kind schema.GroupVersionKind, selector labels.Selector, recheck func(context.Context) (metav1.Object, error)) ([]*appsv1.ControllerRevision, error) {
	revisions, err := owned.By[*appsv1.ControllerRevision](h.Informer, owner)
	if err != nil {
		return nil, err
	}
	orphans, err := owned.Orphans[*appsv1.ControllerRevision](h.Informer, owner.GetNamespace())
	if err != nil {
		return nil, err
	}
	claim := owned.Claim[*appsv1.ControllerRevision]{
		Owner: owner, Kind: kind, Selector: selector, Recheck: recheck,
		Patch: func(ctx context.Context, r *appsv1.ControllerRevision, patchType types.PatchType, patch []byte) error {
			patched, err := h.Client.AppsV1().ControllerRevisions(r.Namespace).Patch(ctx, r.Name, patchType, patch, metav1.PatchOptions{})
			if err == nil {
				h.wrote(owner, patched)
			}
			return err
		},
	}
	return claim.All(ctx, append(revisions, orphans...))
}

// Create creates a revision of the owner.
func (h *History) Create(ctx context.Context, owner metav1.Object, r *appsv1.ControllerRevision) (*appsv1.ControllerRevision, error) {
	created, err := h.Client.AppsV1().ControllerRevisions(owner.GetNamespace()).Create(ctx, r, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	h.wrote(owner, created)
	return created, nil
}

// Get gets a revision from the server.
func (h *History) Get(ctx context.Context, namespace, name string) (*appsv1.ControllerRevision, error) {
	return h.Client.AppsV1().ControllerRevisions(namespace).Get(ctx, name, metav1.GetOptions{})
}

// Renumber gives a revision another number, unless it has it.
func (h *History) Renumber(ctx context.Context, owner metav1.Object, r *appsv1.ControllerRevision, number int64) (*appsv1.ControllerRevision, error) {
	if r.Revision == number {
		return r, nil
	}
	changed := r.DeepCopy()
	changed.Revision = number
	written, err := h.Client.AppsV1().ControllerRevisions(r.Namespace).Update(ctx, changed, metav1.UpdateOptions{})
	if err != nil {
		return nil, err
	}
	h.wrote(owner, written)
	return written, nil
}

// Delete deletes a revision.
func (h *History) Delete(ctx context.Context, owner metav1.Object, r *appsv1.ControllerRevision) error {
	if err := h.Client.AppsV1().ControllerRevisions(r.Namespace).Delete(ctx, r.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	h.Tracker.Deleted(cache.MetaObjectToName(owner), h.Informer.GetStore(), r)
	return nil
}

func (h *History) wrote(owner, written metav1.Object) {
	h.Tracker.Wrote(cache.MetaObjectToName(owner), h.Informer.GetStore(), written)
}
