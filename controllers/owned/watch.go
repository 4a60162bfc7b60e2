// Package owned owns what controllers do alike with the objects that they
// control: to hear of their events, to claim them, to find them in the informer,
// and to make many of them.
package owned

import (
	"maps"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/controllers/reconcile"
)

// A Watch tells owners of type O of the events of objects of type T that they
// control or, if nobody controls an object, could adopt.
type Watch[O, T metav1.Object] struct {
	Kind string // the owners'
	Get  func(namespace, name string) (O, error)
	// List and Selector find who could adopt an orphan; without List nobody
	// adopts.
	List     func(namespace string) ([]O, error)
	Selector func(O) (labels.Selector, error)
	Enqueue  func(cache.ObjectName)
	// OwnAreNoNews: owners don't hear of an object that appears as theirs.
	OwnAreNoNews bool
	// Changed hears of updates of what an owner controls; it may be nil.
	Changed func(owner O, before, after T)
}

// Handler is the informer's handler.
func (w Watch[O, T]) Handler() cache.ResourceEventHandler {
	return reconcile.Events[T]{Add: w.added, Update: w.updated, Delete: func(object T) { w.owner(object) }}
}

func (w Watch[O, T]) added(object T) {
	if metav1.GetControllerOfNoCopy(object) == nil {
		w.candidates(object)
		return
	}
	if !w.OwnAreNoNews {
		w.owner(object)
	}
}

func (w Watch[O, T]) updated(before, after T) {
	if before.GetResourceVersion() == after.GetResourceVersion() {
		return
	}
	was, is := metav1.GetControllerOfNoCopy(before), metav1.GetControllerOfNoCopy(after)
	moved := !equality.Semantic.DeepEqual(was, is)
	if moved {
		w.owner(before)
	}
	if is == nil {
		if moved || !maps.Equal(before.GetLabels(), after.GetLabels()) {
			w.candidates(after)
		}
		return
	}
	if owner, ok := w.owner(after); ok && w.Changed != nil {
		w.Changed(owner, before, after)
	}
}

// owner enqueues the owner that controls the object, if it is one of ours.
func (w Watch[O, T]) owner(object T) (owner O, ok bool) {
	ref := metav1.GetControllerOfNoCopy(object)
	if ref == nil || ref.Kind != w.Kind {
		return owner, false
	}
	owner, err := w.Get(object.GetNamespace(), ref.Name)
	if err != nil || owner.GetUID() != ref.UID {
		return owner, false
	}
	w.Enqueue(cache.MetaObjectToName(owner))
	return owner, true
}

func (w Watch[O, T]) candidates(object T) {
	if w.List == nil || object.GetDeletionTimestamp() != nil || len(object.GetLabels()) == 0 {
		return
	}
	owners, err := w.List(object.GetNamespace())
	if err != nil {
		return // informers' listers don't fail
	}
	for _, owner := range owners {
		if selector, err := w.Selector(owner); err == nil && !selector.Empty() && selector.Matches(labels.Set(object.GetLabels())) {
			w.Enqueue(cache.MetaObjectToName(owner))
		}
	}
}
