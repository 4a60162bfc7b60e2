// Package protection keeps what is in use from being deleted: a finalizer on
// claims that pods use, volumes that are bound, and VolumeAttributesClasses that
// volumes have
// (https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection).
// Admission puts the finalizer on what is created; it is put here on what wasn't
// created that way, and taken off what is deleted and used no more.
package protection

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/controllers/reconcile"
)

// An object is what can be protected.
type object[T any] interface {
	metav1.Object
	DeepCopy() T
}

// A guard protects objects of one kind.
type guard[T object[T]] struct {
	finalizer string
	get       func(cache.ObjectName) (T, error)
	update    func(context.Context, T) error
	used      func(context.Context, T) (bool, error)
	queue     *reconcile.Queue[cache.ObjectName]
}

// see enqueues an object if there is something to do about it.
func (g *guard[T]) see(o T) {
	if g.unprotected(o) || g.leaving(o) {
		g.queue.Add(cache.MetaObjectToName(o))
	}
}

func (g *guard[T]) unprotected(o T) bool {
	return o.GetDeletionTimestamp() == nil && !slices.Contains(o.GetFinalizers(), g.finalizer)
}

func (g *guard[T]) leaving(o T) bool {
	return o.GetDeletionTimestamp() != nil && slices.Contains(o.GetFinalizers(), g.finalizer)
}

func (g *guard[T]) sync(ctx context.Context, name cache.ObjectName) error {
	o, err := g.get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return g.protect(ctx, o)
}

func (g *guard[T]) protect(ctx context.Context, o T) error {
	switch {
	case g.unprotected(o):
		changed := o.DeepCopy()
		changed.SetFinalizers(append(changed.GetFinalizers(), g.finalizer))
		return reconcile.IgnoreNotFound(g.update(ctx, changed))
	case g.leaving(o):
		if used, err := g.used(ctx, o); err != nil || used {
			return err
		}
		changed := o.DeepCopy()
		changed.SetFinalizers(slices.DeleteFunc(changed.GetFinalizers(), func(f string) bool { return f == g.finalizer }))
		return reconcile.IgnoreNotFound(g.update(ctx, changed))
	}
	return nil
}
