package listers

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/storage"
)

// A lister reads one collection, or one namespace of it. Its objects are the
// caller's own.
type lister[T runtime.Object] struct {
	store     *objects.Store
	namespace string
}

// List returns the objects that the selector matches, in key order.
func (l lister[T]) List(selector labels.Selector) ([]T, error) {
	var found []T
	var failure error
	prefix := l.store.Prefix()
	if l.namespace != "" {
		prefix += l.namespace + "/"
	}
	l.store.Collection().Snapshot().Scan(prefix, "", storage.Selection{Labels: selector}, func(o *storage.Object) bool {
		var obj T
		if obj, failure = l.decode(o); failure == nil {
			found = append(found, obj)
		}
		return failure == nil
	})
	return found, failure
}

// Get returns the object, or an error that [apierrors.IsNotFound] knows.
func (l lister[T]) Get(name string) (T, error) {
	o, _ := l.store.Collection().Get(l.store.Key(l.namespace, name))
	if o == nil {
		return *new(T), apierrors.NewNotFound(l.store.Resource(), name)
	}
	return l.decode(o)
}

func (l lister[T]) decode(o *storage.Object) (T, error) {
	obj, err := l.store.DecodeStored(o)
	if err != nil {
		return *new(T), err
	}
	typed, ok := obj.(T)
	if !ok {
		return *new(T), fmt.Errorf("%s are stored as %T, not as %T", l.store.Resource(), obj, *new(T))
	}
	return typed, nil
}
