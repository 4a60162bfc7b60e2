package reconcile

import "k8s.io/client-go/tools/cache"

// Events handles an informer's events with functions of the object's type; any
// of them may be nil. Deletes that the informer learned of late come with the
// last state that it knew.
type Events[T any] struct {
	Add    func(T)
	Update func(before, after T)
	Delete func(T)
}

// Each handles every event the same way; an update with its new state.
func Each[T any](handle func(T)) Events[T] {
	return Events[T]{Add: handle, Update: func(_, after T) { handle(after) }, Delete: handle}
}

// OnAdd implements [cache.ResourceEventHandler].
func (e Events[T]) OnAdd(object any, _ bool) {
	if typed, ok := object.(T); ok && e.Add != nil {
		e.Add(typed)
	}
}

// OnUpdate implements [cache.ResourceEventHandler].
func (e Events[T]) OnUpdate(before, after any) {
	b, ok := before.(T)
	if a, okAfter := after.(T); ok && okAfter && e.Update != nil {
		e.Update(b, a)
	}
}

// OnDelete implements [cache.ResourceEventHandler].
func (e Events[T]) OnDelete(object any) {
	if late, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = late.Obj
	}
	if typed, ok := object.(T); ok && e.Delete != nil {
		e.Delete(typed)
	}
}
