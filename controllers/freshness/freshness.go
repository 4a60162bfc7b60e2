// Package freshness keeps a controller from acting on a cache that has not yet
// seen what the controller itself wrote. Without it a controller that created a
// pod, and looks at its informer before the pod has arrived there, creates it
// once more.
//
// Upstream guards against this with counted expectations and, since v1.36, with
// resource versions (KEP-5647). Here it is resource versions alone: every write
// is noted with the cache that must see it, and an owner isn't worked on before
// its caches have. What was deleted has no version of its own in the answer, so
// it is remembered until the cache no longer has it as living.
package freshness

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"
)

// Recheck is when to look again at an owner whose caches are behind, if no event
// of theirs says so earlier.
const Recheck = 100 * time.Millisecond

// A Tracker remembers the last writes for each owner. Its zero value is ready.
// It is safe for concurrent use; an owner's Fresh must not run at the same time
// as its writes, which holds for owners that are keys of one work queue.
type Tracker struct {
	mu     sync.Mutex
	owners map[cache.ObjectName]*writes
}

type writes struct {
	versions map[cache.Store]string
	deleted  map[cache.Store]map[cache.ObjectName]types.UID
}

// Wrote notes that object, as the server answered it, was written for owner, and
// that store is the informer's that will have it.
func (t *Tracker) Wrote(owner cache.ObjectName, store cache.Store, object metav1.Object) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.of(owner)
	version := object.GetResourceVersion()
	if order, err := resourceversion.CompareResourceVersion(w.versions[store], version); err != nil || order < 0 {
		w.versions[store] = version
	}
}

// Deleted notes that the server accepted the deletion of object.
func (t *Tracker) Deleted(owner cache.ObjectName, store cache.Store, object metav1.Object) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.of(owner)
	if w.deleted[store] == nil {
		w.deleted[store] = map[cache.ObjectName]types.UID{}
	}
	w.deleted[store][cache.MetaObjectToName(object)] = object.GetUID()
}

// Fresh is whether the caches have all that was written for owner.
func (t *Tracker) Fresh(owner cache.ObjectName) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	w, ok := t.owners[owner]
	if !ok {
		return true
	}
	for store, version := range w.versions {
		// A version that can't be compared is none of our servers': don't wait.
		if order, err := resourceversion.CompareResourceVersion(store.LastStoreSyncResourceVersion(), version); err == nil && order < 0 {
			return false
		}
		delete(w.versions, store)
	}
	for store, objects := range w.deleted {
		for name, uid := range objects {
			if lives(store, name, uid) {
				return false
			}
			delete(objects, name)
		}
	}
	delete(t.owners, owner)
	return true
}

// Forget drops what is known of an owner that is gone.
func (t *Tracker) Forget(owner cache.ObjectName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.owners, owner)
}

func (t *Tracker) of(owner cache.ObjectName) *writes {
	w, ok := t.owners[owner]
	if !ok {
		w = &writes{versions: map[cache.Store]string{}, deleted: map[cache.Store]map[cache.ObjectName]types.UID{}}
		if t.owners == nil {
			t.owners = map[cache.ObjectName]*writes{}
		}
		t.owners[owner] = w
	}
	return w
}

func lives(store cache.Store, name cache.ObjectName, uid types.UID) bool {
	cached, ok, err := store.GetByKey(name.String())
	if err != nil || !ok {
		return false
	}
	object, ok := cached.(metav1.Object)
	return ok && object.GetUID() == uid && object.GetDeletionTimestamp() == nil
}
