package storage

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"
)

// A Keeper keeps something up that is made from the objects of a collection.
// Its methods are called by one goroutine at a time, in the order of history.
// Objects may be unreadable, see [Object.Err].
type Keeper interface {
	// Replace is given all objects there are: at the start, and whenever the
	// changes since the last ones can't be told any more.
	Replace(all iter.Seq[*Object])
	Put(o *Object)
	Delete(last *Object) // as it was before
}

// A Follower tells a [Keeper] of every change of a collection.
type Follower struct {
	collection *Collection
	keeper     Keeper

	mu      sync.Mutex
	at      int64    // the keeper knows everything up to it
	watcher *Watcher // that tells what came after it
	telling bool     // what the watcher gave out the keeper does not know yet
}

// Follow gives the keeper what the collection has now. The store must have been
// started; the changes come with [Follower.Run].
func (c *Collection) Follow(k Keeper) *Follower {
	f := &Follower{collection: c, keeper: k}
	f.replace()
	return f
}

// Run tells the keeper of the changes until ctx ends or the store is stopped. It
// is to be called once.
func (f *Follower) Run(ctx context.Context) {
	for f.again(ctx, f.changes(ctx)) {
	}
}

// again begins anew after the error that ended a watch; false when there is no
// more to come.
func (f *Follower) again(ctx context.Context, err error) bool {
	const pause = 50 * time.Millisecond
	switch {
	case ctx.Err() != nil || errors.Is(err, ErrClosed):
		return false
	case errors.Is(err, ErrUnavailable): // history, which the cache may not need to go on
		if !sleep(ctx, pause) {
			return false
		}
	}
	f.replace()
	return true
}

// Wait returns when the keeper knows everything up to the revision, which the
// cache must have. The error is ctx's.
func (f *Follower) Wait(ctx context.Context, revision int64) error {
	// Changes are on their way already: it takes less than a timer's tick.
	const tick = time.Millisecond
	for !f.knows(revision) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(tick):
		}
	}
	return nil
}

func (f *Follower) knows(revision int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.telling:
		return false
	case f.watcher == nil:
		return f.at >= revision
	}
	return !f.watcher.ended() && f.watcher.Progress() >= revision
}

// set changes what Wait looks at.
func (f *Follower) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *Follower) replace() {
	f.set(func() { f.telling = true })
	snapshot := f.collection.Snapshot()
	f.keeper.Replace(func(yield func(*Object) bool) { snapshot.Scan("", "", Selection{}, yield) })
	f.set(func() { f.at, f.watcher, f.telling = snapshot.Revision, nil, false })
}

// changes returns the error that ended the watch.
func (f *Follower) changes(ctx context.Context) error {
	w, err := f.watch(ctx, nil)
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.Ready():
		}
		if err := f.tell(ctx, w); err != nil {
			return err
		}
	}
}

func (f *Follower) watch(ctx context.Context, wake func()) (*Watcher, error) {
	w, err := f.collection.Watch(ctx, WatchOptions{After: f.at, Wake: wake})
	if err == nil {
		f.set(func() { f.watcher = w })
	}
	return w, err
}

// tell tells the keeper what the watcher has now.
func (f *Follower) tell(ctx context.Context, w *Watcher) error {
	f.set(func() { f.telling = true })
	deliveries, err := w.poll(ctx)
	if err != nil {
		return err
	}
	for _, d := range deliveries {
		if d.Type == Deleted {
			f.keeper.Delete(d.Object)
		} else {
			f.keeper.Put(d.Object)
		}
	}
	f.set(func() { f.telling = false })
	return nil
}
