package objects

import (
	"context"
	"sync/atomic"

	"github.com/howdah/howdah/storage"
)

// Written remembers the version that a write stored, so that its bytes can
// answer the request that caused it.
type Written struct {
	object atomic.Pointer[storage.Object]
}

// Object is the last version that a write under the context stored; nil when
// there was none.
func (w *Written) Object() *storage.Object { return w.object.Load() }

type writtenKey struct{}

// WithWritten returns a context whose writes are remembered.
func WithWritten(ctx context.Context) (context.Context, *Written) {
	w := &Written{}
	return context.WithValue(ctx, writtenKey{}, w), w
}

// remember notes that the key was put at the revision.
func (s *Store) remember(ctx context.Context, key string, revision int64) {
	w, ok := ctx.Value(writtenKey{}).(*Written)
	if !ok {
		return
	}
	if o, _ := s.collection.Get(key); o != nil && o.Revision == revision {
		w.object.Store(o)
	}
}
