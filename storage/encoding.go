package storage

import (
	"slices"
	"sync"
	"sync/atomic"
)

// An encodingCache keeps encodings that were made of objects within a budget.
// They hang on the objects, so that a hit takes no lock; what it holds itself is
// the ring over which the hand of a clock goes when room is needed: an encoding
// that was not used since the hand was last there is dropped.
type encodingCache struct {
	budget int64

	mu    sync.Mutex
	ring  []*encoding
	hand  int
	bytes int64
}

type encoding struct {
	key    any
	data   []byte
	object *Object
	slot   int // in the ring
	used   atomic.Bool
}

func newEncodingCache(budget int64) *encodingCache { return &encodingCache{budget: budget} }

// encodingOverhead is about what keeping an encoding costs beside its bytes.
const encodingOverhead = 128

func (e *encoding) size() int64 { return int64(len(e.data)) + encodingOverhead }

func (c *encodingCache) get(o *Object, key any, make func() ([]byte, error)) ([]byte, error) {
	if e := o.encoding(key); e != nil {
		if !e.used.Load() {
			e.used.Store(true)
		}
		return e.data, nil
	}
	data, err := make()
	if err != nil {
		return nil, err
	}
	e := &encoding{key: key, data: data, object: o}
	if e.size() <= c.budget/8 && !o.superseded.Load() {
		c.add(e)
	}
	return data, nil
}

func (o *Object) encoding(key any) *encoding {
	list := o.encodings.Load()
	if list == nil {
		return nil
	}
	for _, e := range *list {
		if e.key == key {
			return e
		}
	}
	return nil
}

func (c *encodingCache) add(e *encoding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.object.encoding(e.key) != nil {
		return // somebody else made it at the same time
	}
	var list []*encoding
	if old := e.object.encodings.Load(); old != nil {
		list = slices.Clone(*old)
	}
	list = append(list, e)
	e.object.encodings.Store(&list)
	e.slot = len(c.ring)
	c.ring = append(c.ring, e)
	c.bytes += e.size()
	for c.bytes > c.budget {
		if c.hand >= len(c.ring) {
			c.hand = 0
		}
		if candidate := c.ring[c.hand]; candidate.used.CompareAndSwap(true, false) {
			c.hand++
		} else {
			c.remove(candidate)
		}
	}
}

// remove is for holders of mu.
func (c *encodingCache) remove(e *encoding) {
	last := len(c.ring) - 1
	c.ring[e.slot] = c.ring[last]
	c.ring[e.slot].slot = e.slot
	c.ring[last] = nil
	c.ring = c.ring[:last]
	c.bytes -= e.size()

	list := slices.DeleteFunc(slices.Clone(*e.object.encodings.Load()), func(other *encoding) bool { return other == e })
	if len(list) == 0 {
		e.object.encodings.Store(nil)
		return
	}
	e.object.encodings.Store(&list)
}

// drop forgets the encodings of an object that has a newer version.
func (c *encodingCache) drop(o *Object) {
	o.superseded.Store(true)
	if o.encodings.Load() == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	list := o.encodings.Load()
	if list == nil {
		return
	}
	for _, e := range *list {
		c.remove(e)
	}
}

func (c *encodingCache) size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}
