package garbage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/retry"
)

// attemptToDelete looks at one object and does what its owners' fate asks for.
func (x *collector) attemptToDelete(ctx context.Context, uid types.UID) error {
	x.mu.Lock()
	v := x.graph.look(uid)
	x.mu.Unlock()
	switch {
	case v == nil:
		return nil
	case v.deleting && v.foreground:
		return x.finishForeground(ctx, v)
	case v.deleting || len(v.owners) == 0:
		return nil
	}
	gone, watched, err := x.goneOwners(ctx, v)
	if err != nil {
		return err
	}
	if !watched {
		// An owner is there, but no monitor sees it: look again later.
		defer x.delete.AddRateLimited(uid)
	}
	what := decide(v, gone)
	switch {
	case what.delete == nil && len(what.remove) == 0:
		return nil
	case what.delete == nil:
		return x.removeOwners(ctx, v, what.remove)
	}
	if what.unblock {
		if err := x.unblock(ctx, v); err != nil {
			return err
		}
		v.version = 0 // changed by that
	}
	return x.deleteObject(ctx, v, what.delete)
}

// goneOwners finds the references that lead nowhere. seen is false if an owner
// exists that the graph doesn't know.
func (x *collector) goneOwners(ctx context.Context, v *view) (gone map[types.UID]bool, seen bool, err error) {
	gone, seen = map[types.UID]bool{}, true
	for _, owner := range v.owners {
		if owner.exists {
			continue
		}
		absent, err := x.isAbsent(ctx, owner.reference)
		if err != nil {
			return nil, false, err
		}
		switch {
		case absent:
			gone[owner.uid] = true
			if owner.elsewhere {
				x.events.Eventf(&corev1.ObjectReference{APIVersion: v.kind.apiVersion, Kind: v.kind.kind, Namespace: v.namespace, Name: v.name, UID: v.uid},
					corev1.EventTypeWarning, "OwnerRefInvalidNamespace", "ownerRef %s does not exist in namespace %q",
					fmt.Sprintf("[%s/%s, namespace: %s, name: %s, uid: %s]", owner.apiVersion, owner.kind, v.namespace, owner.name, owner.uid), v.namespace)
			}
		default:
			seen = false
		}
	}
	return gone, seen, nil
}

// isAbsent asks the API whether the reference leads nowhere.
func (x *collector) isAbsent(ctx context.Context, r reference) (bool, error) {
	version, err := schema.ParseGroupVersion(r.apiVersion)
	if err != nil {
		return false, fmt.Errorf("the owner reference to %s %s has a malformed apiVersion: %w", r.kind, r.name, err)
	}
	x.mu.Lock()
	k := x.kinds[version.WithKind(r.kind)]
	x.mu.Unlock()
	if k == nil {
		return false, fmt.Errorf("no matches for kind %q in version %q", r.kind, r.apiVersion)
	}
	if !k.namespaced {
		r.namespace = ""
	} else if r.namespace == "" {
		return true, nil // nothing namespaced can own what is not
	}
	if _, known := x.absent.Get(r); known {
		return true, nil
	}
	found, err := x.at(k, r.namespace).Get(ctx, r.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && found.UID != r.uid {
		x.absent.Add(r, nil)
		return true, nil
	}
	return false, err
}

func (x *collector) at(k *kind, namespace string) metadata.ResourceInterface {
	if k.namespaced {
		return x.objects.Resource(k.resource).Namespace(namespace)
	}
	return x.objects.Resource(k.resource)
}

// deleteObject deletes the object if it is still as it was when that was
// decided.
func (x *collector) deleteObject(ctx context.Context, v *view, policy *metav1.DeletionPropagation) error {
	preconditions := &metav1.Preconditions{UID: &v.uid}
	if v.version != 0 {
		version := strconv.FormatUint(v.version, 10)
		preconditions.ResourceVersion = &version
	}
	err := x.at(v.kind, v.namespace).Delete(ctx, v.name, metav1.DeleteOptions{Preconditions: preconditions, PropagationPolicy: policy})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case !apierrors.IsConflict(err):
		return err
	}
	// It has changed, or is another one by now. What it is now decides.
	latest, getErr := x.at(v.kind, v.namespace).Get(ctx, v.name, metav1.GetOptions{})
	if apierrors.IsNotFound(getErr) || getErr == nil && latest.UID != v.uid {
		return nil
	}
	if getErr != nil {
		return getErr
	}
	x.mu.Lock()
	look := x.graph.observe(v.kind, latest)
	x.mu.Unlock()
	x.enqueue(look)
	return err
}

// finishForeground lets an object go whose dependents are gone, or sees to it
// that they go.
func (x *collector) finishForeground(ctx context.Context, v *view) error {
	if !v.blocked {
		return x.removeFinalizer(ctx, v, metav1.FinalizerDeleteDependents)
	}
	for _, dependent := range v.blocking {
		x.delete.Add(dependent)
	}
	return nil
}

// attemptToOrphan makes the dependents of a deleted object forget it, and lets
// it go.
func (x *collector) attemptToOrphan(ctx context.Context, uid types.UID) error {
	x.mu.Lock()
	v := x.graph.look(uid)
	var dependents []*view
	if v != nil {
		for _, dependent := range v.dependents {
			if d := x.graph.look(dependent); d != nil {
				dependents = append(dependents, d)
			}
		}
	}
	x.mu.Unlock()
	if v == nil || !v.deleting || !v.orphaning {
		return nil
	}
	var failures []error
	for _, dependent := range dependents {
		if err := x.removeOwners(ctx, dependent, []types.UID{uid}); err != nil {
			failures = append(failures, err)
		}
	}
	if len(failures) > 0 {
		return fmt.Errorf("orphan the dependents of %s %s/%s: %w", v.kind.kind, v.namespace, v.name, errors.Join(failures...))
	}
	return x.removeFinalizer(ctx, v, metav1.FinalizerOrphanDependents)
}

func (x *collector) removeOwners(ctx context.Context, v *view, owners []types.UID) error {
	return x.change(ctx, v, func(object *metav1.PartialObjectMetadata) map[string]any {
		left := slices.DeleteFunc(slices.Clone(object.OwnerReferences), func(r metav1.OwnerReference) bool { return slices.Contains(owners, r.UID) })
		if len(left) == len(object.OwnerReferences) {
			return nil
		}
		return map[string]any{"ownerReferences": left}
	})
}

func (x *collector) unblock(ctx context.Context, v *view) error {
	return x.change(ctx, v, func(object *metav1.PartialObjectMetadata) map[string]any {
		references, no := slices.Clone(object.OwnerReferences), false
		for i := range references {
			if references[i].BlockOwnerDeletion != nil {
				references[i].BlockOwnerDeletion = &no
			}
		}
		return map[string]any{"ownerReferences": references}
	})
}

func (x *collector) removeFinalizer(ctx context.Context, v *view, finalizer string) error {
	return x.change(ctx, v, func(object *metav1.PartialObjectMetadata) map[string]any {
		left := slices.DeleteFunc(slices.Clone(object.Finalizers), func(f string) bool { return f == finalizer })
		if len(left) == len(object.Finalizers) {
			return nil
		}
		return map[string]any{"finalizers": left}
	})
}

// change patches an object's metadata, on the version that the change was made
// for. change returns nil if there is nothing to do.
func (x *collector) change(ctx context.Context, v *view, change func(*metav1.PartialObjectMetadata) map[string]any) error {
	client := x.at(v.kind, v.namespace)
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		object, err := client.Get(ctx, v.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && object.UID != v.uid {
			return nil
		}
		if err != nil {
			return err
		}
		fields := change(object)
		if fields == nil {
			return nil
		}
		fields["uid"], fields["resourceVersion"] = object.UID, object.ResourceVersion
		patch, err := json.Marshal(map[string]any{"metadata": fields})
		if err != nil {
			return err
		}
		_, err = client.Patch(ctx, v.name, types.MergePatchType, patch, metav1.PatchOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}
