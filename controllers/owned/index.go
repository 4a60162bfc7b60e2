package owned

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

const byController = "howdah.controller"

// Index makes the informer find objects by their controller.
func Index(informer cache.SharedIndexInformer) error {
	return AddIndex(informer, byController, func(object any) ([]string, error) {
		o, ok := object.(metav1.Object)
		if !ok {
			return nil, fmt.Errorf("%T has no metadata", object)
		}
		if ref := metav1.GetControllerOfNoCopy(o); ref != nil {
			return []string{string(ref.UID)}, nil
		}
		return []string{orphans(o.GetNamespace())}, nil
	})
}

// AddIndex adds an index to an informer that others may have added already.
func AddIndex(informer cache.SharedIndexInformer, name string, index cache.IndexFunc) error {
	has := func() bool { _, ok := informer.GetIndexer().GetIndexers()[name]; return ok }
	if has() {
		return nil
	}
	if err := informer.AddIndexers(cache.Indexers{name: index}); err != nil && !has() {
		return fmt.Errorf("index by %s: %w", name, err)
	}
	return nil
}

// By returns the objects that the owner controls; those of an informer that has
// Index.
func By[T any](informer cache.SharedIndexInformer, owner metav1.Object) ([]T, error) {
	return Indexed[T](informer, byController, string(owner.GetUID()))
}

// Orphans returns the namespace's objects that nobody controls.
func Orphans[T any](informer cache.SharedIndexInformer, namespace string) ([]T, error) {
	return Indexed[T](informer, byController, orphans(namespace))
}

// Indexed returns an index's objects.
func Indexed[T any](informer cache.SharedIndexInformer, index, value string) ([]T, error) {
	found, err := informer.GetIndexer().ByIndex(index, value)
	if err != nil {
		return nil, fmt.Errorf("look up %q by %s: %w", value, index, err)
	}
	objects := make([]T, 0, len(found))
	for _, object := range found {
		if typed, ok := object.(T); ok {
			objects = append(objects, typed)
		}
	}
	return objects, nil
}

// orphans is no UID, which has no slash.
func orphans(namespace string) string { return "orphans/" + namespace }
