package persistentvolume

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"
)

// latest are an informer's objects, or what this controller wrote of them since.
type latest[T metav1.Object] struct {
	store cache.Store

	mu      sync.Mutex
	written map[string]T
}

func newLatest[T metav1.Object](store cache.Store) *latest[T] {
	return &latest[T]{store: store, written: map[string]T{}}
}

// get is the newest known state of an object.
func (l *latest[T]) get(key string) (object T, ok bool) {
	cached, found, err := l.store.GetByKey(key)
	if err == nil && found {
		object, ok = cached.(T)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	written, have := l.written[key]
	if !have {
		return object, ok
	}
	// What isn't in the informer any more is deleted.
	if ok && written.GetUID() == object.GetUID() {
		if order, err := resourceversion.CompareResourceVersion(written.GetResourceVersion(), object.GetResourceVersion()); err == nil && order >= 0 {
			return written, true
		}
	}
	delete(l.written, key)
	return object, ok
}

// put notes what was written, or is about to be.
func (l *latest[T]) put(object T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written[cache.MetaObjectToName(object).String()] = object
}

// forget takes back a put, after a write that failed.
func (l *latest[T]) forget(object T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := cache.MetaObjectToName(object).String()
	if written, ok := l.written[key]; ok && written.GetUID() == object.GetUID() && written.GetResourceVersion() == object.GetResourceVersion() {
		delete(l.written, key)
	}
}
