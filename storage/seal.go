package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Sealer turns values into what the database keeps of them, and back:
// encryption at rest. It is safe for concurrent use. The bytes that it is given
// stay as they are.
type Sealer interface {
	// Seal returns what the database is to keep for the value of a key. Every
	// write calls it once, in its caller's goroutine, so a slow one holds up
	// its own write only.
	Seal(ctx context.Context, key string, value []byte) ([]byte, error)
	// Open is the inverse of Seal. stale means that Seal would choose another
	// key or form today, so that the value should be written again.
	Open(ctx context.Context, key string, sealed []byte) (value []byte, stale bool, err error)
}

// A SealError says why a value could not be sealed or opened.
type SealError struct{ Err error }

func (e *SealError) Error() string { return e.Err.Error() }
func (e *SealError) Unwrap() error { return e.Err }

// reopenEvery is how often values that could not be opened are tried again: the
// key service that was away may be back, or the missing key configured.
const reopenEvery = 5 * time.Second

// An opener is a driver whose values are sealed when they are written, see
// [Store.seal], and opened when they are read. What can't be opened is handed
// on as it is, with [Record.Err] set, so that one lost key does not take
// everything else with it.
type opener struct {
	Driver
	sealer Sealer
	soon   chan struct{} // try the failed ones again at once

	mu     sync.Mutex
	failed map[string]struct{} // keys whose value could not be opened when last read
}

func newOpener(d Driver, s Sealer) *opener {
	return &opener{Driver: d, sealer: s, soon: make(chan struct{}, 1), failed: map[string]struct{}{}}
}

// seal returns what the database is to be told of a write.
func (o *opener) seal(ctx context.Context, w Write) (Write, error) {
	if w.Delete() {
		return w, nil
	}
	sealed, err := o.sealer.Seal(ctx, w.Key, w.Value)
	if err != nil {
		return w, &SealError{err}
	}
	if sealed == nil {
		sealed = []byte{} // nil would delete
	}
	w.Value = sealed
	return w, nil
}

func (o *opener) open(ctx context.Context, r Record) Record {
	value, _, err := o.sealer.Open(ctx, r.Key, r.Value)
	if err != nil {
		r.Err = &SealError{err}
		o.mu.Lock()
		o.failed[r.Key] = struct{}{}
		o.mu.Unlock()
		return r
	}
	r.Value, r.Err = value, nil
	return r
}

func (o *opener) Load(ctx context.Context, yield func(Record) error) (State, error) {
	return o.Driver.Load(ctx, func(r Record) error { return yield(o.open(ctx, r)) })
}

func (o *opener) Events(ctx context.Context, query EventQuery) ([]Event, State, error) {
	events, state, err := o.Driver.Events(ctx, query)
	for i := range events {
		e := &events[i]
		if !e.Delete() {
			e.Record = o.open(ctx, e.Record)
		}
		if query.Previous && e.Previous != nil {
			previous := *e.Previous
			previous.Key = e.Record.Key
			previous = o.open(ctx, previous)
			e.Previous = &previous
		}
	}
	return events, state, err
}

// Stale says whether the database keeps a key's value in a form that a write
// would no longer choose, as after a change of the encryption key. The caller
// then writes the value again though it is the same.
func (s *Store) Stale(ctx context.Context, key string) (bool, error) {
	if s.opener == nil {
		return false, nil
	}
	r, err := s.opener.Driver.Get(ctx, key)
	if err != nil {
		return false, fmt.Errorf("look at how %s is kept: %w", key, err)
	}
	if r.Modified == 0 {
		return false, nil
	}
	_, stale, err := s.opener.sealer.Open(ctx, key, r.Value)
	if err != nil {
		return false, &SealError{err}
	}
	return stale, nil
}

// reopenLoop tries to open what could not be opened.
func (s *Store) reopenLoop(ctx context.Context) {
	ticker := time.NewTicker(reopenEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-s.opener.soon:
		}
		s.reopen(ctx)
	}
}

// reopenSoon is for when a failed value may open now.
func (s *Store) reopenSoon() {
	if s.opener == nil {
		return
	}
	select {
	case s.opener.soon <- struct{}{}:
	default:
	}
}

func (s *Store) reopen(ctx context.Context) {
	table := s.cache.prefixes.Load()
	opened := map[*Collection][]replacement{}
	for _, key := range s.opener.failures() {
		c := table.find(key)
		if c == nil {
			continue // nobody reads it yet; register asks again
		}
		old, _ := c.Get(key)
		var sealed *SealError
		if old == nil || !errors.As(old.Err, &sealed) {
			s.opener.forget(key)
			continue
		}
		r := s.opener.open(ctx, Record{Key: key, Value: old.Value(), Created: old.Created, Modified: old.Revision, Expires: old.Expires})
		if r.Err == nil {
			opened[c] = append(opened[c], replacement{old, describeRecord(c.describe, r)})
		}
	}
	for c, objects := range opened {
		s.replaceObjects(c, objects)
		s.log.Info("storage: values that could not be decrypted are readable again", "prefix", c.prefix, "objects", len(objects))
	}
}

// A replacement is another view of the same version of an object.
type replacement struct{ old, new *Object }

// replaceObjects puts the new views in place of the old ones. It is no change:
// watchers that the old view ended come back by themselves.
func (s *Store) replaceObjects(c *Collection, objects []replacement) {
	s.cache.applying.Lock()
	defer s.cache.applying.Unlock()
	for _, r := range objects {
		if c.tree.get(r.old.Key) == r.old {
			c.tree.put(r.new)
		}
	}
	view := c.tree.copy()
	s.hub.forgetRecent(c, s.Revision()) // the old views are in it
	s.cache.mu.Lock()
	c.replace(c.tree, view)
	s.cache.mu.Unlock()
}

func (o *opener) failures() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	keys := make([]string, 0, len(o.failed))
	for key := range o.failed {
		keys = append(keys, key)
	}
	return keys
}

func (o *opener) forget(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.failed, key)
}
