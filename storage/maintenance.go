package storage

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	expireEvery  = time.Second
	expireChunk  = 500
	compactEvery = time.Minute
	compactChunk = 2000
	// leastRetention is kept even when the database is too large: watches and
	// paged lists need some.
	leastRetention = 5 * time.Minute
)

// expireLoop deletes keys whose time to live has ended, as ordinary writes, so
// that watchers see it. Several servers may find the same keys: the expected
// revision lets one of them delete it.
func (s *Store) expireLoop(ctx context.Context) {
	for sleep(ctx, expireEvery) {
		if err := s.expire(ctx); err != nil && ctx.Err() == nil {
			s.log.Debug("storage: expired keys could not be deleted", "err", err)
		}
	}
}

func (s *Store) expire(ctx context.Context) error {
	for {
		expired, err := s.driver.Expired(ctx, s.options.Now(), expireChunk)
		if err != nil {
			return err
		}
		errs := make([]error, len(expired))
		var deletes sync.WaitGroup
		for i, r := range expired { // at once, so that they share commits
			deletes.Go(func() {
				_, err := s.Write(ctx, Write{Key: r.Key, Expect: r.Modified})
				var conflict *ConflictError
				if !errors.As(err, &conflict) { // else it was renewed or deleted meanwhile
					errs[i] = err
				}
			})
		}
		deletes.Wait()
		if err := errors.Join(errs...); err != nil || len(expired) < expireChunk {
			return err
		}
	}
}

// compactLoop drops history that is older than the retention, in chunks with
// pauses in between, so that writers are not held up.
func (s *Store) compactLoop(ctx context.Context) {
	retention := s.options.HistoryRetention
	var older int64 // the revision of a round before
	for sleep(ctx, compactEvery) {
		s.forgetPast()
		s.hub.forget(older)
		older = s.Revision()
		retention = s.retention(ctx, retention)
		if err := s.compact(ctx, s.options.Now().Add(-retention)); err != nil && ctx.Err() == nil {
			s.log.Warn("storage: old history could not be dropped; trying again", "err", err)
		}
	}
}

// compact drops the history before a time.
func (s *Store) compact(ctx context.Context, before time.Time) error {
	for {
		began := time.Now()
		dropped, err := s.driver.Compact(ctx, before, compactChunk)
		if err != nil {
			return err
		}
		s.metrics.compacted.Add(float64(dropped))
		if dropped < compactChunk {
			return nil
		}
		// At least half of the time is the writers'.
		if !sleep(ctx, max(time.Since(began), 10*time.Millisecond)) {
			return ctx.Err()
		}
	}
}

// retention halves itself while the database is larger than it may be, and
// grows back when it isn't.
func (s *Store) retention(ctx context.Context, current time.Duration) time.Duration {
	if s.options.MaxHistoryBytes <= 0 {
		return s.options.HistoryRetention
	}
	size, err := s.driver.Size(ctx)
	switch {
	case err != nil:
		return current
	case size > s.options.MaxHistoryBytes:
		next := min(max(current/2, leastRetention), current)
		if next < current {
			s.log.Warn("storage: the database is larger than allowed; keeping less history",
				"bytes", size, "allowed", s.options.MaxHistoryBytes, "retention", next)
		}
		return next
	default:
		return min(2*current, s.options.HistoryRetention)
	}
}

// forgetPast lets go of rebuilt snapshots that nobody reads any more.
func (s *Store) forgetPast() {
	for _, c := range s.cache.prefixes.Load().collections {
		c.past.expire()
	}
}
