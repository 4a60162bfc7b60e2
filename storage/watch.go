package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// WatchOptions say what to watch in a collection.
type WatchOptions struct {
	Prefix    string // keys with this prefix; empty: all of the collection. Or:
	Key       string // this key only
	After     int64  // changes after this revision
	Selection Selection
	// Wake is called whenever [Watcher.Ready] is signalled, and must not call the
	// watcher. nil: nobody is to be woken so.
	Wake func()
}

// The types of a delivery.
const (
	Added    = "ADDED"
	Modified = "MODIFIED"
	Deleted  = "DELETED"
)

// A Delivery is a change as one watcher sees it: an object that begins to match
// the selection is ADDED, one that ceases to is DELETED.
type Delivery struct {
	Type string
	// Object after the change; for DELETED the last version that matched, whose
	// Revision is still its own: the delivery's is Change.Revision.
	Object *Object
	Change *Change
}

// A Watcher receives the changes of a collection, each once and in order. Its
// methods are for one goroutine, but Stop may be called from any.
type Watcher struct {
	collection *Collection
	key        string
	prefix     string
	selection  Selection
	bucket     bucket
	resets     int // of the hub when the watch began

	slot  int // in the bucket; -1: in none. Guarded by hub.mu
	ready chan struct{}
	wake  func()

	joined   bool       // the hub offers the changes after position
	position int64      // everything up to it was read
	given    int64      // everything up to it was given out
	pending  []Delivery // read, not given out yet

	mu      sync.Mutex
	queue   []Delivery
	spare   []Delivery // the slice given out last, for the next queue
	bytes   int64
	err     error
	stopped bool
}

// Watch begins a watch. History that memory does not have any more comes from
// the database. [ErrCompacted] when that doesn't reach back to o.After either,
// [ErrFutureRevision] when o.After has not happened. ctx is for the beginning
// only; the caller ends the watch with [Watcher.Stop].
func (c *Collection) Watch(ctx context.Context, o WatchOptions) (*Watcher, error) {
	w := &Watcher{
		collection: c, key: o.Key, prefix: o.Prefix, selection: o.Selection.simplified(),
		position: o.After, given: o.After, slot: -1, ready: make(chan struct{}, 1), wake: o.Wake,
	}
	if strings.HasPrefix(c.prefix, w.prefix) {
		w.prefix = c.prefix
	}
	w.bucket = w.narrowest()
	w.resets = c.store.hub.generation()
	if err := c.store.Wait(ctx, o.After); err != nil {
		return nil, err
	}
	// The first page tells whether history reaches back far enough.
	if err := w.advance(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *Watcher) narrowest() bucket {
	if w.key != "" {
		return bucket{byKey, w.key}
	}
	if w.selection.Fields != nil {
		if name, ok := w.selection.Fields.RequiresExactMatch("metadata.name"); ok {
			return bucket{byName, name}
		}
		for _, field := range w.collection.indexes {
			if value, ok := w.selection.Fields.RequiresExactMatch(field); ok {
				return bucket{field, value}
			}
		}
	}
	rest, ok := strings.CutPrefix(w.prefix, w.collection.prefix)
	if ok && strings.IndexByte(rest, '/') == len(rest)-1 && rest != "" {
		return bucket{byNamespace, w.prefix}
	}
	return bucket{}
}

// see returns the delivery that the change is to this watcher, if any.
func (w *Watcher) see(c *Change) (Delivery, bool) {
	key := c.Key()
	if w.key != "" && key != w.key || !strings.HasPrefix(key, w.prefix) {
		return Delivery{}, false
	}
	is := c.Object != nil && w.selection.matches(c.Object)
	was := c.Previous != nil && w.selection.matches(c.Previous)
	switch {
	case is && was:
		return Delivery{Modified, c.Object, c}, true
	case is:
		return Delivery{Added, c.Object, c}, true
	case was:
		return Delivery{Deleted, c.Previous, c}, true
	}
	return Delivery{}, false
}

// offer queues a change; false when the watcher has ended. The hub calls it.
func (w *Watcher) offer(c *Change) bool {
	delivery, ok := w.see(c)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil || w.stopped:
		return false
	case !ok || c.Revision <= w.position:
		return true
	}
	limits := &w.collection.store.options
	size := c.Object.size() + c.Previous.size()
	if len(w.queue) >= limits.WatcherDeliveries || w.bytes+size > limits.WatcherBytes {
		w.fail(ErrSlowWatcher)
		return false
	}
	w.queue = append(w.queue, delivery)
	w.bytes += size
	w.announce()
	return true
}

// end lets the watcher see what is queued and then err.
func (w *Watcher) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(err, ErrNewEpoch) {
		w.fail(err) // what is queued didn't happen, maybe
		return
	}
	if w.err == nil {
		w.err = err
	}
	w.announce()
}

// fail ends the watcher at once; under mu.
func (w *Watcher) fail(err error) {
	w.err = err
	w.queue, w.spare, w.bytes = nil, nil, 0
	w.announce()
}

// announce makes Ready fire; under mu.
func (w *Watcher) announce() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
	if w.wake != nil {
		w.wake()
	}
}

// Ready is signalled when Next would not wait for a change.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// Next waits for deliveries and returns those that are there, in order. The
// slice is valid until the next call; it is empty only while history is read
// from the database, so that the caller can do something else in between. The
// error is ctx's, or says why the watch ended: [ErrSlowWatcher], [ErrCompacted],
// [ErrNewEpoch], [ErrClosed], [ErrUnavailable] when history had to be read and
// could not.
func (w *Watcher) Next(ctx context.Context) ([]Delivery, error) {
	if !w.joined {
		return w.poll(ctx)
	}
	for {
		deliveries, err := w.take()
		if len(deliveries) > 0 || err != nil {
			return deliveries, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-w.ready:
		}
	}
}

// poll is Next without waiting for a change.
func (w *Watcher) poll(ctx context.Context) ([]Delivery, error) {
	if !w.joined && len(w.pending) == 0 {
		if err := w.advance(ctx); err != nil {
			return nil, err
		}
	}
	return w.take()
}

// take returns what can be given out without waiting.
func (w *Watcher) take() ([]Delivery, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.ready:
	default:
	}
	if w.stopped {
		return nil, ErrClosed
	}
	w.reclaim()
	var out []Delivery
	switch {
	case len(w.pending) > 0:
		out, w.pending = w.pending, nil
		w.given = w.position
	case len(w.queue) > 0:
		out, w.queue, w.spare, w.bytes = w.queue, w.spare, w.queue, 0
		w.given = out[len(out)-1].Change.Revision
	case w.err != nil:
		return nil, w.err
	}
	if len(w.queue) > 0 || w.err != nil || !w.joined {
		w.announce()
	}
	return out, nil
}

// reclaim takes the slice back that was given out last, so that it no longer
// keeps objects alive; under mu.
func (w *Watcher) reclaim() {
	const small = 256
	clear(w.spare)
	if cap(w.spare) > small {
		w.spare = nil
	}
	w.spare = w.spare[:0]
}

// advance joins the hub, or reads the next page of history.
func (w *Watcher) advance(ctx context.Context) error {
	backlog, joined, err := w.collection.store.hub.join(w)
	switch {
	case err != nil:
		return err
	case joined:
		w.joined = true
		for _, change := range backlog {
			if delivery, ok := w.see(change); ok {
				w.pending = append(w.pending, delivery)
			}
		}
	default:
		if w.pending, err = w.replay(ctx); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(backlog) > 0 {
		w.position = backlog[len(backlog)-1].Revision
	}
	if len(w.pending) == 0 {
		w.given = w.position
	}
	if len(w.pending) > 0 || !w.joined {
		w.announce()
	}
	return nil
}

// replay reads a page of history after the watcher's position.
func (w *Watcher) replay(ctx context.Context) ([]Delivery, error) {
	c := w.collection
	query := EventQuery{After: w.position, Prefix: w.prefix, Limit: historyPage, Previous: true}
	if w.key != "" {
		query.Prefix = w.key
	}
	epoch := c.store.cache.epoch()
	events, state, err := c.store.driver.Events(ctx, query)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the history after revision %d: %w", w.position, err)
	case state.Epoch != epoch:
		c.store.feed.suspect()
		return nil, ErrNewEpoch
	}
	var out []Delivery
	latest := map[string]*Object{}
	for _, e := range events {
		w.position = e.Revision
		if !c.owns(e.Record.Key) || w.key != "" && w.key != e.Record.Key {
			continue
		}
		change := &Change{Revision: e.Revision, collection: c}
		if e.Previous != nil {
			change.Previous = latest[e.Record.Key]
			if change.Previous == nil || change.Previous.Revision != e.Previous.Modified {
				change.Previous = c.previous(e)
			}
		}
		if !e.Delete() {
			change.Object = describeRecord(c.describe, e.Record)
			latest[e.Record.Key] = change.Object
		} else if change.Previous == nil {
			continue
		}
		if delivery, ok := w.see(change); ok {
			out = append(out, delivery)
		}
	}
	if len(events) < historyPage {
		w.position = max(w.position, state.Revision)
	}
	return out, nil
}

// Progress is the revision up to which the watcher was given everything, for
// bookmarks.
func (w *Watcher) Progress() int64 {
	published := w.collection.store.hub.revision.Load() // before the queue is looked at
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.joined || len(w.pending) > 0 || len(w.queue) > 0 || w.err != nil {
		return w.given
	}
	return max(w.given, published)
}

// ended says whether the watch gives no more than what is queued.
func (w *Watcher) ended() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stopped || w.err != nil
}

// Stop ends the watch. It may be called twice.
func (w *Watcher) Stop() {
	w.mu.Lock()
	w.stopped = true
	w.queue, w.spare, w.bytes = nil, nil, 0
	w.announce()
	w.mu.Unlock()
	w.collection.store.hub.leave(w)
}

func (w *Watcher) isStopped() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stopped
}
