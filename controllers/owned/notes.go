package owned

import (
	"sync"

	"k8s.io/client-go/tools/cache"
)

// Notes are what a controller remembers of owners, until it restarts.
type Notes[T any] struct {
	mu sync.Mutex
	of map[cache.ObjectName]T
}

// Get is what was put last; the zero value if nothing was.
func (n *Notes[T]) Get(owner cache.ObjectName) T {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.of[owner]
}

// Put replaces what is remembered.
func (n *Notes[T]) Put(owner cache.ObjectName, note T) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.of == nil {
		n.of = map[cache.ObjectName]T{}
	}
	n.of[owner] = note
}

// Drop forgets.
func (n *Notes[T]) Drop(owner cache.ObjectName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.of, owner)
}
