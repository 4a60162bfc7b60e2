package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Collection is the objects under one registered prefix.
type Collection struct {
	store    *Store
	prefix   string
	describe Describe
	indexes  []string

	tree *tree // belongs to the holder of store.cache.applying

	// Guarded by store.cache.mu.
	view     *tree     // a copy of tree, that readers have
	snapshot *Snapshot // the last one given out

	// Guarded by store.hub.mu.
	watchers map[bucket][]*Watcher
	recent   fifo
	floor    int64 // recent has every change after it

	past past
}

func newCollection(s *Store, prefix string, describe Describe, indexes []string) *Collection {
	c := &Collection{
		store: s, prefix: prefix, describe: describe, indexes: slices.Clone(indexes),
		tree:     newTree(indexes),
		watchers: map[bucket][]*Watcher{},
	}
	c.view = c.tree.copy()
	return c
}

// Prefix that the collection was registered with.
func (c *Collection) Prefix() string { return c.prefix }

// Get returns the object with the key now, nil when there is none, and the
// revision of the cache that says so.
func (c *Collection) Get(key string) (*Object, int64) {
	mu := &c.store.cache.mu
	mu.RLock()
	defer mu.RUnlock()
	return c.view.get(key), c.store.cache.state.Revision
}

// Size returns how many objects there are now, and how many bytes their values
// have.
func (c *Collection) Size() (objects int, bytes int64) {
	mu := &c.store.cache.mu
	mu.RLock()
	defer mu.RUnlock()
	return c.view.objects.Len(), c.view.values
}

// Any says whether an object's key has the prefix now.
func (c *Collection) Any(prefix string) bool {
	mu := &c.store.cache.mu
	mu.RLock()
	defer mu.RUnlock()
	found := false
	c.view.objects.Ascend(prefix, func(key string, _ *Object) bool {
		found = strings.HasPrefix(key, prefix)
		return false
	})
	return found
}

// Snapshot returns the collection as it is now.
func (c *Collection) Snapshot() *Snapshot {
	cache := c.store.cache
	cache.mu.RLock()
	s := c.snapshot
	current := s != nil && s.Revision == cache.state.Revision
	cache.mu.RUnlock()
	if current {
		return s
	}
	cache.mu.Lock()
	defer cache.mu.Unlock()
	if s := c.snapshot; s == nil || s.Revision != cache.state.Revision {
		c.snapshot = &Snapshot{Revision: cache.state.Revision, prefix: c.prefix, tree: c.view}
	}
	return c.snapshot
}

// replace puts another tree in place, under the cache's lock.
func (c *Collection) replace(t, view *tree) {
	c.tree, c.view, c.snapshot = t, view, nil
	c.past.forget()
}

// A past is the snapshots of older revisions that were rebuilt lately: the pages
// of one list all ask for the same.
type past struct {
	building sync.Mutex

	mu        sync.Mutex
	snapshots []pastSnapshot // the last used last
}

type pastSnapshot struct {
	snapshot *Snapshot
	used     time.Time
}

const (
	pastSnapshots = 8
	pastAge       = 5 * time.Minute
)

func (p *past) get(revision int64) *Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.snapshots {
		if s.snapshot.Revision == revision {
			s.used = time.Now()
			p.snapshots = append(slices.Delete(p.snapshots, i, i+1), s)
			return s.snapshot
		}
	}
	return nil
}

func (p *past) put(s *Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.snapshots = append(p.snapshots, pastSnapshot{s, time.Now()})
	if len(p.snapshots) > pastSnapshots {
		p.snapshots = slices.Delete(p.snapshots, 0, 1)
	}
}

// expire forgets what was not asked for in a while.
func (p *past) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.snapshots = slices.DeleteFunc(p.snapshots, func(s pastSnapshot) bool {
		return time.Since(s.used) > pastAge
	})
}

func (p *past) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.snapshots = nil
}

// At returns the collection as it was at a revision. It waits a little for one
// that has not come yet, and fails with [ErrFutureRevision] when it doesn't, and
// with [ErrCompacted] when history no longer reaches back to it. Selections on
// an older snapshot read every object.
func (c *Collection) At(ctx context.Context, revision int64) (*Snapshot, error) {
	if err := c.store.Wait(ctx, revision); err != nil {
		return nil, err
	}
	generation := c.store.hub.generation()
	now := c.Snapshot()
	if now.Revision == revision {
		return now, nil
	}
	if s := c.past.get(revision); s != nil {
		return s, nil
	}
	c.past.building.Lock()
	defer c.past.building.Unlock()
	if s := c.past.get(revision); s != nil {
		return s, nil
	}
	now = c.Snapshot() // the changes to undo reach to it at least
	undo, err := c.undo(ctx, revision, now.Revision)
	if err != nil {
		return nil, err
	}
	t := newTree(nil)
	t.objects, t.bytes, t.values = now.tree.objects.Copy(), now.tree.bytes, now.tree.values
	t.unindexed = 1 // there is no index: always read everything
	for key, o := range undo {
		if o == nil {
			t.objects.Delete(key)
		} else {
			t.objects.Set(key, o)
		}
	}
	s := &Snapshot{Revision: revision, prefix: c.prefix, tree: t}
	if c.store.hub.generation() != generation {
		return nil, fmt.Errorf("%w: its history changed", ErrUnavailable)
	}
	c.past.put(s)
	return s, nil
}

// undo returns, for each key that was changed after the revision, its object at
// the revision, nil when there was none. It covers the changes up to until at
// least.
func (c *Collection) undo(ctx context.Context, revision, until int64) (map[string]*Object, error) {
	undo := map[string]*Object{}
	if changes, ok := c.store.hub.since(c, revision); ok {
		for _, change := range changes {
			if _, seen := undo[change.Key()]; !seen {
				undo[change.Key()] = change.Previous
			}
		}
		return undo, nil
	}
	epoch := c.store.cache.epoch()
	for after := revision; ; {
		query := EventQuery{After: after, Prefix: c.prefix, Limit: historyPage, Previous: true}
		events, state, err := c.store.driver.Events(ctx, query)
		switch {
		case err != nil:
			return nil, fmt.Errorf("read the history after revision %d: %w", revision, err)
		case state.Epoch != epoch:
			c.store.feed.suspect()
			return nil, fmt.Errorf("%w: its history changed", ErrUnavailable)
		}
		for _, e := range events {
			key := e.Record.Key
			if _, seen := undo[key]; seen || !c.owns(key) {
				continue
			}
			undo[key] = c.previous(e)
		}
		if len(events) < historyPage {
			if state.Revision < until {
				return nil, fmt.Errorf("%w: it is behind its own answers", ErrUnavailable)
			}
			return undo, nil
		}
		after = events[len(events)-1].Revision
	}
}

// previous is the object that an event of history replaced.
func (c *Collection) previous(e Event) *Object {
	if e.Previous == nil {
		return nil
	}
	r := *e.Previous
	r.Key = e.Record.Key
	return describeRecord(c.describe, r)
}

// historyPage is how many events are read at a time.
const historyPage = 1000

// owns says whether the key is in this collection and not in one with a longer
// prefix.
func (c *Collection) owns(key string) bool {
	return strings.HasPrefix(key, c.prefix) && c.store.cache.prefixes.Load().find(key) == c
}

// Wait returns when the cache has the revision. [ErrFutureRevision] when it
// doesn't come within a few seconds or before ctx's deadline.
func (s *Store) Wait(ctx context.Context, revision int64) error {
	const patience = 3 * time.Second
	if s.Revision() >= revision {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := s.feed.wait(ctx, revision)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %d, the current one is %d", ErrFutureRevision, revision, s.Revision())
	}
	return err
}
