package storage

import (
	"context"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
)

// A cache holds every live key at one revision, sorted into collections.
//
// Whoever changes the content holds applying for the whole of it. The collections
// have two trees for that: one that is changed, and a copy of it, which costs
// nothing, that readers have. All that is done under mu is to put new copies in
// the place of the old ones, so that readers hardly ever wait.
type cache struct {
	applying sync.Mutex
	prefixes atomic.Pointer[prefixTable]

	mu    sync.RWMutex // guards what follows and the views of the collections
	state State
	raw   map[string]Record // keys of no collection
}

func newCache() *cache {
	c := &cache{raw: map[string]Record{}}
	c.prefixes.Store(&prefixTable{})
	return c
}

func (c *cache) revision() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.state.Revision
}

func (c *cache) epoch() string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.state.Epoch
}

// modified returns the revision of the last write of a live key; 0 when there
// is no such key.
func (c *cache) modified(key string) int64 {
	collection := c.prefixes.Load().find(key)
	c.mu.RLock()
	defer c.mu.RUnlock()
	if collection == nil {
		return c.raw[key].Modified
	}
	if o := collection.view.get(key); o != nil {
		return o.Revision
	}
	return 0
}

// register adds a collection and moves into it the keys that were kept raw. The
// caller holds applying.
func (c *cache) register(collection *Collection) {
	table := c.prefixes.Load().with(collection)
	var objects []*Object
	for key, record := range c.raw { // changed by holders of applying only
		if table.find(key) == collection {
			objects = append(objects, describeRecord(collection.describe, record))
		}
	}
	sort.Slice(objects, func(i, j int) bool { return objects[i].Key < objects[j].Key })
	for _, o := range objects {
		collection.tree.load(o)
	}
	view := collection.tree.copy()
	c.mu.Lock()
	defer c.mu.Unlock()
	collection.view = view
	for _, o := range objects {
		delete(c.raw, o.Key)
	}
	c.prefixes.Store(table)
}

// A content is what a cache holds, while it is loaded.
type content struct {
	trees map[*Collection]*tree
	raw   map[string]Record
}

// load reads every record of the database and puts it in the place of what the
// cache has. ended, when set, is what the watchers are told.
func (s *Store) load(ctx context.Context, ended error) (State, error) {
	s.cache.applying.Lock()
	defer s.cache.applying.Unlock()
	table := s.cache.prefixes.Load()
	loaded := content{trees: map[*Collection]*tree{}, raw: map[string]Record{}}
	for _, c := range table.collections {
		loaded.trees[c] = newTree(c.indexes)
	}

	// Records are described while the database sends the next ones.
	chunks, described := make(chan []Record, 16), make(chan struct{})
	go func() {
		defer close(described)
		for chunk := range chunks {
			for _, r := range chunk {
				if c := table.find(r.Key); c != nil {
					loaded.trees[c].load(describeRecord(c.describe, r))
				} else {
					loaded.raw[r.Key] = r
				}
			}
		}
	}()
	const chunkRecords = 256
	var chunk []Record
	state, err := s.driver.Load(ctx, func(r Record) error {
		chunk = append(chunk, r)
		if len(chunk) == chunkRecords {
			chunks <- chunk
			chunk = make([]Record, 0, chunkRecords)
		}
		return nil
	})
	chunks <- chunk
	close(chunks)
	<-described
	s.contacted(err)
	if err != nil {
		return State{}, err
	}

	s.cache.mu.Lock()
	s.cache.state, s.cache.raw = state, loaded.raw
	for c, t := range loaded.trees {
		c.replace(t, t.copy())
	}
	s.cache.mu.Unlock()
	s.hub.reset(table.collections, state.Revision, ended)
	s.feed.release(state.Revision)
	return state, nil
}

// A prefixTable finds the collection of a key. It does not change.
type prefixTable struct {
	collections []*Collection // by prefix
	parents     []int         // the next shorter prefix of the same keys; -1: none
}

func (t *prefixTable) with(c *Collection) *prefixTable {
	next := &prefixTable{collections: append(slices.Clone(t.collections), c)}
	sort.Slice(next.collections, func(i, j int) bool {
		return next.collections[i].prefix < next.collections[j].prefix
	})
	for i := range next.collections {
		parent := i - 1
		for parent >= 0 && !strings.HasPrefix(next.collections[i].prefix, next.collections[parent].prefix) {
			parent = next.parents[parent]
		}
		next.parents = append(next.parents, parent)
	}
	return next
}

// find returns the collection with the longest prefix of the key, or nil.
func (t *prefixTable) find(key string) *Collection {
	i := sort.Search(len(t.collections), func(i int) bool { return t.collections[i].prefix > key }) - 1
	for i >= 0 && !strings.HasPrefix(key, t.collections[i].prefix) {
		i = t.parents[i]
	}
	if i < 0 {
		return nil
	}
	return t.collections[i]
}

func (t *prefixTable) exact(prefix string) *Collection {
	if c := t.find(prefix); c != nil && c.prefix == prefix {
		return c
	}
	return nil
}
