package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A feed makes the cache follow the database's history. One goroutine applies
// every revision, in order and once: straight from an acknowledged batch when it
// continues the cache's revision, else by reading the tail of history.
type feed struct {
	store  *Store
	signal chan struct{} // capacity 1: something below changed

	mu      sync.Mutex
	commits []*committed // acknowledged batches that were not looked at yet
	// Reasons to read the tail; a read clears those that came before it began.
	now      bool      // a gap or a doubt: at once
	target   int64     // somebody waits for this revision
	targetAt time.Time // since when
	wokenAt  time.Time // the driver said that there may be news; zero: it didn't
	waiters  map[*waiter]struct{}
	closed   bool

	// The goroutine's own.
	contact time.Time // when the cache was last known to be current
	retryAt time.Time // no read before, after a failure
	backoff time.Duration
	newsAt  time.Time // when events were last read from history, or everything
	useless bool      // the last read that a wake caused found nothing
}

// A committed batch waits to be applied and then tells its writers.
type committed struct {
	writes   []*pending
	outcomes []Outcome
	sent     time.Time // when Commit was called
	asked    time.Time // when the feed first saw that it must read history for it
	reloaded bool      // everything was loaded since
}

type waiter struct {
	revision int64
	done     chan struct{}
}

const (
	// quiet is how long the feed trusts that no news is no news.
	quiet = 5 * time.Second
	// grace is how long a read of the tail waits for our own commit under way,
	// whose answer may be all that there is to read.
	grace = 3 * time.Millisecond

	tailPage = 1000
)

func newFeed(s *Store) *feed {
	return &feed{store: s, signal: make(chan struct{}, 1), waiters: map[*waiter]struct{}{}}
}

// committed hands over a batch that the database acknowledged.
func (f *feed) committed(b *committed) {
	f.update(func() { f.commits = append(f.commits, b) })
}

// wake says that another server may have written.
func (f *feed) wake() {
	f.update(func() {
		if f.wokenAt.IsZero() {
			f.wokenAt = time.Now()
		}
	})
}

// suspect asks for a look at the database at once.
func (f *feed) suspect() {
	f.update(func() { f.now = true })
}

func (f *feed) update(change func()) {
	f.mu.Lock()
	change()
	f.mu.Unlock()
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

// wait returns when the cache has the revision.
func (f *feed) wait(ctx context.Context, revision int64) error {
	w := &waiter{revision, make(chan struct{})}
	f.update(func() {
		f.waiters[w] = struct{}{}
		if revision > f.target {
			f.target, f.targetAt = revision, time.Now()
		}
	})
	// The revision may have come before the waiter was there to be released.
	if f.store.Revision() >= revision {
		f.forget(w)
		return nil
	}
	select {
	case <-w.done:
		if f.store.Revision() < revision {
			return ErrClosed
		}
		return nil
	case <-ctx.Done():
		f.forget(w)
		return ctx.Err()
	}
}

func (f *feed) forget(w *waiter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waiters, w)
}

// release lets go who waited for this revision.
func (f *feed) release(revision int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.waiters {
		if w.revision <= revision {
			close(w.done)
			delete(f.waiters, w)
		}
	}
}

func (f *feed) run(ctx context.Context) {
	defer f.close()
	f.contact = time.Now()
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	for ctx.Err() == nil {
		f.applyCommits(ctx)
		due := f.due()
		wait := time.Until(due)
		if wait <= 0 {
			f.read(ctx)
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-f.signal:
		case <-timer.C:
		}
	}
}

// close answers whom nobody will answer any more.
func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for w := range f.waiters {
		close(w.done)
		delete(f.waiters, w)
	}
	for _, b := range f.commits {
		b.finish(nil)
	}
	f.commits = nil
}

// drain waits until every acknowledged batch is applied, or ctx ends.
func (f *feed) drain(ctx context.Context) {
	var last int64
	f.mu.Lock()
	for _, b := range f.commits {
		_, revision, _ := b.span()
		last = max(last, revision)
	}
	f.mu.Unlock()
	_ = f.wait(ctx, last)
}

// due is when to read the tail next.
func (f *feed) due() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Before(f.retryAt) {
		return f.retryAt
	}
	if f.now {
		return now
	}
	due := f.contact.Add(quiet)
	busy := f.store.committer.busy.Load()
	sooner := func(t time.Time) {
		if t.Before(due) {
			due = t
		}
	}
	if f.target > f.store.Revision() {
		if busy {
			sooner(f.targetAt.Add(grace))
		} else {
			sooner(now)
		}
	}
	if !f.wokenAt.IsZero() {
		if busy || f.useless {
			sooner(f.wokenAt.Add(grace))
		} else {
			sooner(now)
		}
	}
	return due
}

// applyCommits applies the acknowledged batches that continue the cache.
func (f *feed) applyCommits(ctx context.Context) {
	for {
		f.mu.Lock()
		if len(f.commits) == 0 {
			f.mu.Unlock()
			return
		}
		b := f.commits[0]
		f.mu.Unlock()
		if !f.applyCommit(ctx, b) {
			return
		}
		f.mu.Lock()
		f.commits[0] = nil
		f.commits = f.commits[1:]
		f.mu.Unlock()
	}
}

// applyCommit returns false when the tail must be read first.
func (f *feed) applyCommit(ctx context.Context, b *committed) bool {
	first, last, count := b.span()
	revision := f.store.Revision()
	if count == 0 {
		b.finish(nil)
		return true
	}
	if first > revision+1 || first <= revision && last > revision {
		if !b.asked.IsZero() && f.contact.After(b.asked) {
			// All of history was read since, and the batch is not in it.
			b.finish(fmt.Errorf("%w: its history changed", ErrUnknownOutcome))
			return true
		}
		if b.asked.IsZero() {
			b.asked = time.Now()
		}
		f.suspect()
		return false
	}
	if !f.plausible(b) {
		// What the database says of the keys is not what history told us: it is
		// not the history that we followed.
		if b.reloaded {
			b.finish(fmt.Errorf("%w: its history changed", ErrUnknownOutcome))
			return true
		}
		if time.Now().Before(f.retryAt) || !f.reload(ctx, ErrNewEpoch) {
			return false
		}
		b.reloaded = true
		return f.applyCommit(ctx, b)
	}
	if last > revision {
		events := make([]Event, 0, count)
		for i, o := range b.outcomes {
			if o.Revision == 0 {
				continue
			}
			w := b.writes[i].write
			events = append(events, Event{Revision: o.Revision, Record: Record{
				Key: w.Key, Value: w.Value, Modified: o.Revision, Expires: w.Expires,
			}})
		}
		f.store.apply(events)
		f.mu.Lock()
		if f.wokenAt.Before(b.sent) {
			f.wokenAt = time.Time{} // whatever it was about is applied now
		}
		f.mu.Unlock()
		f.contact = time.Now()
	}
	b.finish(nil)
	return true
}

// plausible says whether the cache holds what the batch says that it should
// hold: the replaced versions when the batch is next, the new ones when it was
// applied already.
func (f *feed) plausible(b *committed) bool {
	revision := f.store.Revision()
	if _, last, _ := b.span(); last <= revision && f.newsAt.Before(b.sent) {
		return false // nobody can have told us of it yet
	}
	for i, o := range b.outcomes {
		modified := f.store.cache.modified(b.writes[i].write.Key)
		switch {
		case o.Revision == 0:
		case o.Revision > revision && modified != o.Current:
			return false
		case o.Revision <= revision && modified != 0 && modified < o.Revision:
			return false
		}
	}
	return true
}

// read applies the tail of history.
func (f *feed) read(ctx context.Context) {
	f.mu.Lock()
	woken := !f.wokenAt.IsZero()
	f.now, f.target, f.wokenAt = false, 0, time.Time{}
	f.mu.Unlock()
	applied, err := f.readTail(ctx)
	f.store.metrics.tailReads.Inc()
	switch {
	case ctx.Err() != nil:
	case err == nil:
		if woken || applied > 0 {
			f.useless = applied == 0
		}
		f.succeeded()
	case errors.Is(err, ErrCompacted), errors.Is(err, ErrNewEpoch):
		f.store.log.Warn("storage: loading everything again", "why", err)
		reason := ErrCompacted
		if errors.Is(err, ErrNewEpoch) {
			reason = ErrNewEpoch
		}
		f.reload(ctx, reason)
	default:
		f.failed(err)
	}
}

func (f *feed) readTail(ctx context.Context) (applied int, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		f.store.cache.mu.RLock()
		ours := f.store.cache.state
		f.store.cache.mu.RUnlock()
		events, state, err := f.store.driver.Events(ctx, EventQuery{After: ours.Revision, Limit: tailPage})
		switch {
		case err != nil:
			return applied, err
		case state.Epoch != ours.Epoch:
			return applied, fmt.Errorf("%w: its epoch was %q and is %q", ErrNewEpoch, ours.Epoch, state.Epoch)
		case state.Revision < ours.Revision:
			return applied, fmt.Errorf("%w: from revision %d to %d", ErrNewEpoch, ours.Revision, state.Revision)
		}
		for i, e := range events {
			if want := ours.Revision + int64(i) + 1; e.Revision != want {
				return applied, fmt.Errorf("%w: history has revision %d where %d is next", ErrCompacted, e.Revision, want)
			}
		}
		if len(events) > 0 {
			f.store.apply(events)
			f.newsAt = time.Now()
			applied += len(events)
		}
		if len(events) < tailPage {
			return applied, nil
		}
	}
}

// reload loads everything again and tells the watchers why they ended.
func (f *feed) reload(ctx context.Context, reason error) bool {
	f.store.contacted(fmt.Errorf("%w: the objects are loaded again", ErrUnavailable))
	if _, err := f.store.load(ctx, reason); err != nil {
		f.suspect()
		f.failed(err)
		return false
	}
	f.newsAt = time.Now()
	f.succeeded()
	return true
}

func (f *feed) succeeded() {
	if f.backoff > 0 {
		f.store.log.Info("storage: the database answers again")
	}
	f.contact, f.backoff, f.retryAt = time.Now(), 0, time.Time{}
	f.store.contacted(nil)
}

func (f *feed) failed(err error) {
	if f.backoff == 0 {
		f.store.log.Warn("storage: the history can't be read; trying again", "err", err)
	}
	f.backoff = min(max(2*f.backoff, 20*time.Millisecond), 500*time.Millisecond)
	f.retryAt = time.Now().Add(f.backoff)
	f.suspect() // what the read was for is still to be done
	f.store.contacted(err)
}
