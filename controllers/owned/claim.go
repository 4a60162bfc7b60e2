package owned

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// A Claim decides which of the objects that an owner finds are its own. It
// adopts orphans that its selector matches and releases what it no longer
// matches
// (https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#non-template-pod-acquisitions).
type Claim[T metav1.Object] struct {
	Owner    metav1.Object
	Kind     schema.GroupVersionKind // the owner's
	Selector labels.Selector
	// Matches says more than the selector about what the owner may have; nil is
	// everything.
	Matches func(T) bool
	// Finalizer is put on what is adopted, if it is not empty.
	Finalizer string
	// Recheck gets the owner from the server: an owner that is being deleted,
	// or another one of its name, must not adopt, whatever the cache says.
	Recheck func(ctx context.Context) (metav1.Object, error)
	Patch   func(ctx context.Context, object T, kind types.PatchType, patch []byte) error

	once    sync.Once
	recheck error
}

// Uncached is a Claim's Recheck by a typed client.
func Uncached[O metav1.Object](name string, get func(context.Context, string, metav1.GetOptions) (O, error)) func(context.Context) (metav1.Object, error) {
	return func(ctx context.Context) (metav1.Object, error) { return get(ctx, name, metav1.GetOptions{}) }
}

// All returns those of the objects that are the owner's, adopted ones included.
// Errors leave out what they concern.
func (c *Claim[T]) All(ctx context.Context, objects []T) ([]T, error) {
	var (
		ours []T
		errs []error
	)
	for _, object := range objects {
		is, err := c.claim(ctx, object)
		if err != nil {
			errs = append(errs, err)
		} else if is {
			ours = append(ours, object)
		}
	}
	return ours, errors.Join(errs...)
}

func (c *Claim[T]) claim(ctx context.Context, object T) (bool, error) {
	ref := metav1.GetControllerOfNoCopy(object)
	matches := c.Selector.Matches(labels.Set(object.GetLabels())) && (c.Matches == nil || c.Matches(object))
	switch {
	case ref != nil && ref.UID != c.Owner.GetUID():
		return false, nil
	case ref != nil && matches:
		return true, nil
	case ref != nil && c.Owner.GetDeletionTimestamp() != nil:
		return false, nil
	case ref != nil:
		return false, c.release(ctx, object)
	case !matches, c.Owner.GetDeletionTimestamp() != nil, object.GetDeletionTimestamp() != nil:
		return false, nil
	}
	if err := c.adopt(ctx, object); err != nil {
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return false, err
	}
	return true, nil
}

func (c *Claim[T]) adopt(ctx context.Context, object T) error {
	c.once.Do(func() { c.recheck = c.mayAdopt(ctx) })
	if c.recheck != nil {
		return fmt.Errorf("can't adopt %s/%s (%s): %w", object.GetNamespace(), object.GetName(), object.GetUID(), c.recheck)
	}
	change := map[string]any{"uid": object.GetUID(), "ownerReferences": []*metav1.OwnerReference{metav1.NewControllerRef(c.Owner, c.Kind)}}
	if c.Finalizer != "" {
		change["finalizers"] = []string{c.Finalizer}
	}
	return c.patch(ctx, object, change)
}

func (c *Claim[T]) mayAdopt(ctx context.Context) error {
	owner, err := c.Recheck(ctx)
	switch {
	case err != nil:
		return err
	case owner.GetUID() != c.Owner.GetUID():
		return fmt.Errorf("original %s %s/%s is gone: got uid %s, wanted %s", c.Kind.Kind, c.Owner.GetNamespace(), c.Owner.GetName(), owner.GetUID(), c.Owner.GetUID())
	case owner.GetDeletionTimestamp() != nil:
		return fmt.Errorf("%s/%s has just been deleted at %v", owner.GetNamespace(), owner.GetName(), owner.GetDeletionTimestamp())
	}
	return nil
}

func (c *Claim[T]) release(ctx context.Context, object T) error {
	change := map[string]any{"uid": object.GetUID(), "ownerReferences": []map[string]any{{"$patch": "delete", "uid": c.Owner.GetUID()}}}
	if c.Finalizer != "" {
		change["$deleteFromPrimitiveList/finalizers"] = []string{c.Finalizer}
	}
	err := c.patch(ctx, object, change)
	if apierrors.IsNotFound(err) || apierrors.IsInvalid(err) {
		return nil // gone, another of its name, or without the reference already
	}
	return err
}

func (c *Claim[T]) patch(ctx context.Context, object T, metadata map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return fmt.Errorf("encode the patch of owner references: %w", err)
	}
	return c.Patch(ctx, object, types.StrategicMergePatchType, patch)
}
