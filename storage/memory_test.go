package storage

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"
)

// memoryDriver is a database in memory with a place for faults: each hook, when
// set, runs before (or after) the real thing and can replace its answer.
type memoryDriver struct {
	db *memoryDatabase
	// beforeCommit's error means that nothing was written; afterCommit's that the
	// answer was lost.
	beforeCommit func(Batch) error
	afterCommit  func(Batch) error
	beforeState  func() error
	beforeEvents func(EventQuery) error
	exclusive    bool

	mu      sync.Mutex
	states  int
	reads   int
	commits []Batch
}

type memoryDatabase struct {
	mu      sync.Mutex
	state   State
	live    map[string]Record
	log     []Event
	applied map[string]appliedBatch
	times   []time.Time // of the log
	wakes   map[int]func()
	nextID  int
	mute    bool
}

type appliedBatch struct {
	sequence int64
	outcomes []Outcome
}

func newDatabase() *memoryDatabase {
	return &memoryDatabase{
		state: State{Epoch: "first"}, live: map[string]Record{},
		applied: map[string]appliedBatch{}, wakes: map[int]func(){},
	}
}

func newMemoryDriver() *memoryDriver { return &memoryDriver{db: newDatabase()} }

func (d *memoryDriver) Exclusive() bool { return d.exclusive }

func (d *memoryDriver) Commit(ctx context.Context, b Batch) ([]Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	d.mu.Lock()
	before, after := d.beforeCommit, d.afterCommit
	d.commits = append(d.commits, b)
	d.mu.Unlock()
	if before != nil {
		if err := before(b); err != nil {
			return nil, err
		}
	}
	outcomes, err := d.db.commit(b)
	if err == nil && after != nil {
		if err := after(b); err != nil {
			return nil, err
		}
	}
	return outcomes, err
}

func (db *memoryDatabase) commit(b Batch) ([]Outcome, error) {
	db.mu.Lock()
	last := db.applied[b.ID.Origin]
	switch {
	case last.sequence == b.ID.Sequence:
		db.mu.Unlock()
		return last.outcomes, nil
	case last.sequence > b.ID.Sequence:
		db.mu.Unlock()
		return nil, ErrFenced
	}
	seen := map[string]bool{}
	outcomes := make([]Outcome, len(b.Writes))
	for i, w := range b.Writes {
		if seen[w.Key] {
			panic("two writes of a batch to " + w.Key)
		}
		seen[w.Key] = true
		previous, exists := db.live[w.Key]
		outcomes[i].Current = previous.Modified
		if previous.Modified != w.Expect {
			continue
		}
		db.state.Revision++
		outcomes[i].Revision = db.state.Revision
		r := Record{Key: w.Key, Value: w.Value, Created: db.state.Revision, Modified: db.state.Revision, Expires: w.Expires}
		e := Event{Revision: db.state.Revision}
		if exists {
			r.Created = previous.Created
			e.Previous = &previous
		}
		e.Record = r
		db.log = append(db.log, e)
		db.times = append(db.times, time.Now())
		if w.Delete() {
			delete(db.live, w.Key)
		} else {
			db.live[w.Key] = r
		}
	}
	db.applied[b.ID.Origin] = appliedBatch{b.ID.Sequence, outcomes}
	db.unlockAndWake()
	return outcomes, nil
}

func (db *memoryDatabase) unlockAndWake() {
	var wakes []func()
	if !db.mute {
		for _, w := range db.wakes {
			wakes = append(wakes, w)
		}
	}
	db.mu.Unlock()
	for _, w := range wakes {
		w()
	}
}

func (d *memoryDriver) State(context.Context) (State, error) {
	d.mu.Lock()
	before := d.beforeState
	d.states++
	d.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return State{}, err
		}
	}
	d.db.mu.Lock()
	defer d.db.mu.Unlock()
	return d.db.state, nil
}

func (d *memoryDriver) Load(_ context.Context, yield func(Record) error) (State, error) {
	d.db.mu.Lock()
	defer d.db.mu.Unlock()
	var keys []string
	for key := range d.db.live {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		if err := yield(d.db.live[key]); err != nil {
			return State{}, err
		}
	}
	return d.db.state, nil
}

func (d *memoryDriver) Get(_ context.Context, key string) (Record, error) {
	d.db.mu.Lock()
	defer d.db.mu.Unlock()
	return d.db.live[key], nil
}

func (d *memoryDriver) Events(_ context.Context, q EventQuery) ([]Event, State, error) {
	d.mu.Lock()
	before := d.beforeEvents
	d.reads++
	d.mu.Unlock()
	if before != nil {
		if err := before(q); err != nil {
			return nil, State{}, err
		}
	}
	d.db.mu.Lock()
	defer d.db.mu.Unlock()
	if q.After < d.db.state.Compacted {
		return nil, d.db.state, ErrCompacted
	}
	var out []Event
	for _, e := range d.db.log {
		if e.Revision <= q.After || !strings.HasPrefix(e.Record.Key, q.Prefix) {
			continue
		}
		if len(out) == q.Limit {
			break
		}
		if e.Previous != nil && !q.Previous {
			e.Previous = &Record{Modified: e.Previous.Modified}
		}
		out = append(out, e)
	}
	return out, d.db.state, nil
}

func (d *memoryDriver) Expired(_ context.Context, now time.Time, limit int) ([]Record, error) {
	d.db.mu.Lock()
	defer d.db.mu.Unlock()
	var out []Record
	for _, r := range d.db.live {
		if !r.Expires.IsZero() && r.Expires.Before(now) && len(out) < limit {
			out = append(out, Record{Key: r.Key, Modified: r.Modified})
		}
	}
	return out, nil
}

func (d *memoryDriver) Compact(_ context.Context, before time.Time, limit int) (int, error) {
	d.db.mu.Lock()
	defer d.db.mu.Unlock()
	n := 0
	for n < limit && n < len(d.db.log) && d.db.times[n].Before(before) {
		n++
	}
	if n > 0 {
		d.db.state.Compacted = d.db.log[n-1].Revision
		d.db.log, d.db.times = d.db.log[n:], d.db.times[n:]
	}
	return n, nil
}

func (d *memoryDriver) Size(context.Context) (int64, error) {
	d.db.mu.Lock()
	defer d.db.mu.Unlock()
	return int64(len(d.db.log)) * 1000, nil
}

func (d *memoryDriver) Listen(ctx context.Context, wake func()) {
	d.db.mu.Lock()
	id := d.db.nextID
	d.db.nextID++
	d.db.wakes[id] = wake
	d.db.mu.Unlock()
	wake()
	<-ctx.Done()
	d.db.mu.Lock()
	defer d.db.mu.Unlock()
	delete(d.db.wakes, id)
}

func (d *memoryDriver) Close() error { return nil }

// counts returns how often the state was asked for and history was read.
func (d *memoryDriver) counts() (states, reads int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.states, d.reads
}

// set changes the hooks while the store runs.
func (d *memoryDriver) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// now returns the state and how many events the log has.
func (db *memoryDatabase) now() (State, int) {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.state, len(db.log)
}
