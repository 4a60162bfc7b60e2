package storage

import "sync"

// A Change is one write as the readers of its collection see it. It is shared by
// all watchers.
type Change struct {
	Revision int64
	Object   *Object // after the write; nil when it deleted the key
	Previous *Object // before the write; nil when it created the key

	collection *Collection
	cost       int64 // of keeping it in memory; guarded by hub.mu
	kept       bool  // it counts; guarded by hub.mu

	mu        sync.Mutex
	encodings []*changeEncoding
}

type changeEncoding struct {
	key  any
	once sync.Once
	data []byte
	err  error
}

// Key that was written.
func (c *Change) Key() string {
	if c.Object != nil {
		return c.Object.Key
	}
	return c.Previous.Key
}

// Encoding returns what make returned for this key. It is made once, also when
// many ask at the same time, and kept as long as the change; an error isn't kept.
func (c *Change) Encoding(key any, make func() ([]byte, error)) ([]byte, error) {
	e := c.encoding(key)
	e.once.Do(func() {
		e.err = errNotMade // should make panic
		e.data, e.err = make()
		if e.err != nil {
			c.forget(e)
			return
		}
		if c.collection != nil { // else somebody's own, not from a watch
			c.collection.store.hub.grown(c, int64(len(e.data)))
		}
	})
	return e.data, e.err
}

func (c *Change) encoding(key any) *changeEncoding {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.encodings {
		if e.key == key {
			return e
		}
	}
	e := &changeEncoding{key: key}
	c.encodings = append(c.encodings, e)
	return e
}

func (c *Change) forget(e *changeEncoding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.encodings {
		if c.encodings[i] == e {
			c.encodings = append(c.encodings[:i:i], c.encodings[i+1:]...)
			return
		}
	}
}
