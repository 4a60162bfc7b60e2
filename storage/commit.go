package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// ConflictError says that a write's expectation did not hold. The cache has
// caught up with what the key is now, as far as the database could be asked.
type ConflictError struct {
	Key string
	// Current is the revision of the key's last write; 0: it doesn't exist.
	Current int64
}

func (e *ConflictError) Error() string {
	if e.Current == 0 {
		return fmt.Sprintf("conflict: %s does not exist", e.Key)
	}
	return fmt.Sprintf("conflict: %s is at revision %d; read it again and repeat the change", e.Key, e.Current)
}

const (
	maxBatchWrites = 512
	maxBatchBytes  = 8 << 20
	// maxQueuedBytes bounds what waits to be committed; more waits outside.
	maxQueuedBytes = 64 << 20
	writeOverhead  = 512
)

// A committer puts the writes that arrive while one commit is under way
// together into the next one.
type committer struct {
	store  *Store
	origin string
	room   *semaphore.Weighted
	done   chan struct{}
	busy   atomic.Bool // a batch is taken and its outcome not known
	signal chan struct{}

	mu     sync.Mutex
	queue  []*pending
	closed bool

	sequence int64 // of the last batch; the goroutine's own
}

// A pending write.
type pending struct {
	write  Write
	sealed Write // what the database gets
	weight int64
	until  time.Time // when its caller gives up

	taken bool // guarded by committer.mu

	// committed is the revision once the database acknowledged it.
	committed atomic.Int64
	done      chan struct{} // closed when outcome and err are set
	outcome   Outcome
	err       error
}

func newCommitter(s *Store, origin string) *committer {
	return &committer{
		store: s, origin: origin,
		room:   semaphore.NewWeighted(maxQueuedBytes),
		done:   make(chan struct{}),
		signal: make(chan struct{}, 1),
	}
}

// Write commits one write and returns its revision. When it returns, this
// server's cache has the new version. The store keeps w.Value.
//
// When the expectation does not hold, the error is a [*ConflictError]. When the
// database is lost, the write waits for it for [Options.WriteTimeout]; the error
// is then [ErrUnavailable] if nothing was written, and [ErrUnknownOutcome] if
// that can't be known. A ctx that ends takes back a write that was not sent; for
// one that was sent, Write waits on. A [*SealError] says that the value could
// not be sealed and nothing was written.
func (s *Store) Write(ctx context.Context, w Write) (int64, error) {
	if w.Key == "" {
		return 0, errors.New("storage: a write needs a key")
	}
	if w.Delete() && w.Expect <= 0 {
		return 0, fmt.Errorf("storage: a delete of %s needs the revision that it expects", w.Key)
	}
	sealed := w
	if s.opener != nil {
		var err error
		if sealed, err = s.opener.seal(ctx, w); err != nil {
			return 0, err
		}
	}
	p := &pending{
		write: w, sealed: sealed,
		weight: min(int64(len(sealed.Value)+len(w.Key)+writeOverhead), maxQueuedBytes),
		until:  time.Now().Add(s.options.WriteTimeout),
		done:   make(chan struct{}),
	}
	outcome, err := s.committer.write(ctx, p)
	if err != nil {
		return 0, err
	}
	if outcome.Revision == 0 {
		s.catchUp(ctx, w.Key, outcome.Current)
		s.metrics.conflicts.Inc()
		return 0, &ConflictError{Key: w.Key, Current: outcome.Current}
	}
	return outcome.Revision, nil
}

// catchUp brings the cache to where a conflict was found, so that a retry does
// not meet the same stale object again.
func (s *Store) catchUp(ctx context.Context, key string, current int64) {
	if s.cache.modified(key) == current {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, _ = s.Sync(ctx) // the conflict is true all the same
}

// write returns when p has its outcome.
func (c *committer) write(ctx context.Context, p *pending) (Outcome, error) {
	waiting, cancel := context.WithDeadline(ctx, p.until)
	defer cancel()
	if err := c.room.Acquire(waiting, p.weight); err != nil {
		return Outcome{}, c.tooLate(ctx, "too many writes were waiting")
	}
	defer c.room.Release(p.weight)
	if err := c.enqueue(p); err != nil {
		return Outcome{}, err
	}
	select {
	case <-p.done:
		return p.outcome, p.err
	case <-waiting.Done():
	}
	if c.withdraw(p) {
		return Outcome{}, c.tooLate(ctx, "the write waited for it in vain")
	}
	// The write was sent. A moment more lets the committer say how it went.
	timer := time.NewTimer(time.Until(p.until) + c.store.options.WriteTimeout/10)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.outcome, p.err
	case <-timer.C:
	}
	if revision := p.committed.Load(); revision > 0 {
		return Outcome{Revision: revision}, nil // though the cache can't follow now
	}
	return Outcome{}, ErrUnknownOutcome
}

func (c *committer) tooLate(ctx context.Context, what string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrUnavailable, what)
}

func (c *committer) enqueue(p *pending) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.queue = append(c.queue, p)
	c.notify()
	return nil
}

// withdraw takes a write back that was not taken into a batch yet.
func (c *committer) withdraw(p *pending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.taken {
		return false
	}
	for i := range c.queue {
		if c.queue[i] == p {
			c.queue = append(c.queue[:i], c.queue[i+1:]...)
			break
		}
	}
	return true
}

// close refuses further writes; the committer ends when the queue is empty.
func (c *committer) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.notify()
}

func (c *committer) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *committer) notify() {
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

func (c *committer) start(ctx context.Context) { go c.run(ctx) }

func (c *committer) run(ctx context.Context) {
	defer close(c.done)
	for ctx.Err() == nil {
		batch, more := c.take()
		if len(batch) > 0 {
			if !c.commit(ctx, batch) {
				c.probe(ctx)
			}
			c.busy.Store(false)
			continue
		}
		if !more {
			return
		}
		select {
		case <-ctx.Done():
		case <-c.signal:
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.queue {
		p.taken = true
		p.finish(Outcome{}, ErrClosed)
	}
	c.queue = nil
}

// take removes the next batch from the queue: everything that waits, within
// bounds, but of several writes to one key only the first. more is false when
// nothing will come any more.
func (c *committer) take() (batch []*pending, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return nil, !c.closed
	}
	c.busy.Store(true)
	keys := make(map[string]struct{}, min(len(c.queue), maxBatchWrites))
	left := c.queue[:0]
	var bytes int64
	for i, p := range c.queue {
		full := len(batch) == maxBatchWrites || len(batch) > 0 && bytes+p.weight > maxBatchBytes
		if full {
			left = append(left, c.queue[i:]...)
			break
		}
		if _, twice := keys[p.write.Key]; twice {
			left = append(left, p)
			continue
		}
		keys[p.write.Key] = struct{}{}
		p.taken = true
		batch = append(batch, p)
		bytes += p.weight
	}
	clear(c.queue[len(left):])
	c.queue = left
	return batch, true
}

// commit brings the batch to an end: its writers get their outcomes once the
// cache has them, or an error. It returns false when the database was lost.
func (c *committer) commit(ctx context.Context, writes []*pending) bool {
	c.sequence++
	batch := Batch{ID: BatchID{Origin: c.origin, Sequence: c.sequence}, Writes: make([]Write, len(writes))}
	var until time.Time
	for i, p := range writes {
		batch.Writes[i] = p.sealed
		if p.until.After(until) {
			until = p.until
		}
	}
	sent := time.Now()
	outcomes, err := c.attempts(ctx, batch, until)
	var refused *refusedError
	switch {
	case err == nil:
		c.store.metrics.batch(len(writes), time.Since(sent))
		c.store.contacted(nil)
		for i, p := range writes {
			p.committed.Store(outcomes[i].Revision)
		}
		c.store.feed.committed(&committed{writes: writes, outcomes: outcomes, sent: sent})
		return true
	case errors.As(err, &refused) && len(writes) > 1:
		// One write that the database can't store must not fail the others.
		alive := true
		for _, p := range writes {
			alive = c.commit(ctx, []*pending{p}) && alive
		}
		return alive
	}
	c.store.log.Error("storage: a batch failed", "writes", len(writes), "sequence", c.sequence, "err", err)
	for _, p := range writes {
		p.finish(Outcome{}, err)
	}
	c.store.feed.suspect() // it may have been applied all the same
	return refused != nil
}

// A refusedError is a clear answer of the database: nothing was written.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return "the database refused the write: " + e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// attempts calls Commit with the same batch until there is an answer.
func (c *committer) attempts(ctx context.Context, batch Batch, until time.Time) ([]Outcome, error) {
	const refusals = 3 // in a row are believed
	var (
		last    error
		sent    bool // an attempt may have reached the database
		refused int
		backoff = 5 * time.Millisecond
	)
	for {
		try, cancel := context.WithTimeout(ctx, min(c.store.options.WriteTimeout/3, max(time.Until(until), time.Millisecond)))
		outcomes, err := c.store.driver.Commit(try, batch)
		gone := try.Err() != nil
		cancel()
		if err == nil && len(outcomes) != len(batch.Writes) {
			err = fmt.Errorf("%w: the driver gave %d outcomes for %d writes", ErrUnknownOutcome, len(outcomes), len(batch.Writes))
		}
		if err == nil {
			return outcomes, nil
		}
		if last == nil {
			c.store.log.Warn("storage: a commit failed; trying again", "sequence", batch.ID.Sequence, "err", err)
			c.store.feed.wake()
		}
		last = err
		switch {
		case errors.Is(err, ErrFenced):
			return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
		case !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnknownOutcome) && !gone:
			if refused++; refused == refusals && !sent {
				return nil, &refusedError{err}
			}
		default:
			c.store.contacted(err)
			refused = 0
			sent = sent || !neverSent(err)
		}
		wait := min(backoff, time.Until(until))
		backoff = min(2*backoff, 250*time.Millisecond)
		if wait <= 0 || !sleep(ctx, wait) {
			if sent || refused > 0 {
				return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, last)
			}
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, last)
		}
	}
}

// neverSent recognises the errors of drivers that are sure that nothing was sent.
func neverSent(err error) bool {
	var e interface{ SafeToRetry() bool }
	return errors.As(err, &e) && e.SafeToRetry()
}

// probe waits until the database answers again or the store stops: what is queued
// meanwhile is certain not to be written.
func (c *committer) probe(ctx context.Context) {
	for backoff := 5 * time.Millisecond; !c.isClosed(); backoff = min(2*backoff, 250*time.Millisecond) {
		try, cancel := context.WithTimeout(ctx, c.store.options.WriteTimeout/3)
		_, err := c.store.driver.State(try)
		cancel()
		if err == nil || !sleep(ctx, backoff) {
			return
		}
	}
}

// sleep returns false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (p *pending) finish(o Outcome, err error) {
	p.outcome, p.err = o, err
	close(p.done)
}

// finish tells the writers their outcomes.
func (b *committed) finish(err error) {
	for i, p := range b.writes {
		p.finish(b.outcomes[i], err)
	}
}

// span returns the first and last revision that the batch got, and how many.
func (b *committed) span() (first, last int64, count int) {
	for _, o := range b.outcomes {
		if o.Revision == 0 {
			continue
		}
		if count == 0 {
			first = o.Revision
		}
		last = o.Revision
		count++
	}
	return first, last, count
}
