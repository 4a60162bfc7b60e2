package storage

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
)

// A hub gives the changes to the watchers, and keeps the recent ones for those
// that come later.
type hub struct {
	budget   int64
	revision atomic.Int64 // the watchers were given every change up to it

	mu      sync.Mutex
	recent  fifo // of all collections
	bytes   int64
	count   int   // of watchers
	resets  int   // how often history was replaced
	cause   error // why, the last time
	refusal error // why no watcher can join
}

var errNotMade = errors.New("the encoding was not made")

// A bucket is the watchers that one kind of change concerns: each watcher is in
// one bucket, the narrowest that its options allow, so that a change is not
// offered to the thousands that watch another object or another node.
type bucket struct {
	by    string // "", "key", "name", "namespace" or the name of an indexed field
	value string
}

const (
	byKey       = "/key" // field names have no slash
	byName      = "/name"
	byNamespace = "/namespace"
)

func newHub(budget int64) *hub {
	return &hub{budget: budget, refusal: fmt.Errorf("%w: %w", ErrUnavailable, errNotStarted)}
}

func (h *hub) register(c *Collection, revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.floor = revision
}

// record keeps changes for [hub.since]; watchers get them from publish.
func (h *hub) record(changes []*Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, change := range changes {
		// The new version is alive as the cache's, so what the change keeps in
		// memory is the old one.
		change.cost, change.kept = change.Previous.size()+overhead, true
		h.bytes += change.cost
		h.recent.push(change)
		change.collection.recent.push(change)
	}
	h.evict()
}

func (h *hub) evict() {
	for h.bytes > h.budget && h.recent.len() > 0 {
		h.drop()
	}
}

// drop forgets the oldest change.
func (h *hub) drop() {
	oldest := h.recent.pop()
	oldest.collection.recent.pop()
	oldest.collection.floor = oldest.Revision
	h.bytes -= oldest.cost
	oldest.kept = false
}

// forget lets go of the changes up to the revision. Watches that begin before it
// read the database's history, which costs less than to keep for all time what
// hardly anybody asks for.
func (h *hub) forget(revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.recent.len() > 0 && h.recent.all()[0].Revision <= revision {
		h.drop()
	}
}

// grown accounts for what was added to a change.
func (h *hub) grown(c *Change, bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.kept {
		c.cost += bytes
		h.bytes += bytes
		h.evict()
	}
}

// publish gives recorded changes to the watchers.
func (h *hub) publish(changes []*Change, revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, change := range changes {
		c := change.collection
		if len(c.watchers) == 0 {
			continue
		}
		key := change.Key()
		parent := key[:strings.LastIndexByte(key, '/')+1]
		h.offer(c, bucket{}, change)
		h.offer(c, bucket{byKey, key}, change)
		h.offer(c, bucket{byName, key[len(parent):]}, change)
		h.offer(c, bucket{byNamespace, parent}, change)
		for _, field := range c.indexes {
			var is string
			if change.Object != nil {
				is = change.Object.fields().Get(field)
				h.offer(c, bucket{field, is}, change)
			}
			if change.Previous != nil {
				was := change.Previous.fields().Get(field)
				if change.Object == nil || was != is {
					h.offer(c, bucket{field, was}, change)
				}
			}
		}
	}
	h.revision.Store(revision)
}

func (h *hub) offer(c *Collection, b bucket, change *Change) {
	watchers := c.watchers[b]
	for i := len(watchers) - 1; i >= 0; i-- {
		if w := watchers[i]; !w.offer(change) {
			h.remove(w)
		}
	}
}

// since returns the changes of a collection after the revision, in a slice of
// its own; false when memory does not reach back to it.
func (h *hub) since(c *Collection, revision int64) ([]*Change, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if revision < c.floor {
		return nil, false
	}
	return slices.Clone(c.after(revision)), true
}

// after is the recent changes after the revision; under hub.mu.
func (c *Collection) after(revision int64) []*Change {
	all := c.recent.all()
	return all[sort.Search(len(all), func(i int) bool { return all[i].Revision > revision }):]
}

// join adds a watcher that has everything up to its position, and returns what
// memory has after it; false when that does not reach back so far.
func (h *hub) join(w *Watcher) (backlog []*Change, joined bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := w.collection
	switch {
	case h.refusal != nil:
		return nil, false, h.refusal
	case w.resets != h.resets:
		return nil, false, h.cause
	case w.position < c.floor:
		return nil, false, nil
	case w.isStopped():
		return nil, false, ErrClosed
	}
	given := h.revision.Load()
	for _, change := range c.after(w.position) {
		if change.Revision > given {
			break // publish will offer it
		}
		backlog = append(backlog, change)
	}
	w.slot = len(c.watchers[w.bucket])
	c.watchers[w.bucket] = append(c.watchers[w.bucket], w)
	h.count++
	return backlog, true, nil
}

func (h *hub) generation() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.resets
}

func (h *hub) leave(w *Watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(w)
}

// remove is leave under hub.mu.
func (h *hub) remove(w *Watcher) {
	if w.slot < 0 {
		return
	}
	c := w.collection
	watchers := c.watchers[w.bucket]
	last := len(watchers) - 1
	watchers[w.slot] = watchers[last]
	watchers[w.slot].slot = w.slot
	watchers[last] = nil
	if last == 0 {
		delete(c.watchers, w.bucket)
	} else {
		c.watchers[w.bucket] = watchers[:last]
	}
	w.slot = -1
	h.count--
}

// reset forgets the changes, as history was replaced, and ends the watchers.
func (h *hub) reset(collections []*Collection, revision int64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.resets++
	h.cause = err
	if !errors.Is(h.refusal, ErrClosed) {
		h.refusal = nil
	}
	for h.recent.len() > 0 {
		h.recent.pop().kept = false
	}
	h.bytes = 0
	h.end(collections, err)
	for _, c := range collections {
		c.recent, c.floor = fifo{}, revision
	}
	h.revision.Store(revision)
}

// forgetRecent forgets the changes of a collection up to the revision, the
// cache's: who needs them finds them in the database's history.
func (h *hub) forgetRecent(c *Collection, revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var others fifo
	for _, change := range h.recent.all() {
		if change.collection != c {
			others.push(change)
			continue
		}
		change.kept = false
		h.bytes -= change.cost
	}
	h.recent = others
	c.recent, c.floor = fifo{}, revision
}

func (h *hub) end(collections []*Collection, err error) {
	for _, c := range collections {
		for _, watchers := range c.watchers {
			for _, w := range slices.Clone(watchers) {
				w.end(err)
				h.remove(w)
			}
		}
	}
}

func (h *hub) close(collections []*Collection) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refusal = ErrClosed
	h.end(collections, ErrClosed)
}

func (h *hub) sizes() (watchers int, bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count, h.bytes
}
