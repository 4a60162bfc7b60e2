package storage

import (
	"context"
	"time"
)

// A Driver keeps records and their history in a database.
//
// Revisions are one sequence in commit order without gaps: the n-th applied
// write of the database's life has revision n. A driver is safe for concurrent
// use, but [Driver.Commit] has one caller at a time per driver.
//
// A driver never hides a lost database: it returns an error that wraps
// [ErrUnavailable] and the caller decides whether to ask again.
type Driver interface {
	// Commit applies the batch in one transaction and returns one outcome per
	// write, in order. A write whose expectation does not hold is left out and
	// the others are applied. No two writes of a batch have the same key.
	//
	// Commit is idempotent: a batch with an ID that was applied before is not
	// applied again, and the outcomes of the first time are returned. It is
	// fenced: once a batch of an origin is applied, older batches of that
	// origin can no longer be ([ErrFenced]). So a caller that does not know
	// whether a batch was applied calls Commit again with the same batch.
	//
	// The driver does not keep the batch or its bytes after it returns.
	Commit(ctx context.Context, batch Batch) ([]Outcome, error)

	// State reads the current revision, consistent with every commit that was
	// acknowledged before the call.
	State(ctx context.Context) (State, error)

	// Load calls yield for every live record in key order, in one snapshot, and
	// returns the state of that snapshot. The record and its bytes are yield's to keep.
	Load(ctx context.Context, yield func(Record) error) (State, error)

	// Get returns the live record of a key, the zero record when there is none,
	// consistent with every commit that was acknowledged before the call.
	Get(ctx context.Context, key string) (Record, error)

	// Events returns at most query.Limit events after query.After, in
	// revision order, oldest first. It returns [ErrCompacted] when history no
	// longer reaches back to query.After. An answer shorter than the limit
	// means that the end of history was reached; the state is the one that the
	// events were read at.
	Events(ctx context.Context, query EventQuery) ([]Event, State, error)

	// Expired returns at most limit keys (with their Modified revision, without
	// values) whose time to live ended before now.
	Expired(ctx context.Context, now time.Time, limit int) ([]Record, error)

	// Compact drops history older than the given time, oldest first and at
	// most limit events a call, and returns how many it dropped. Live records
	// are never touched.
	Compact(ctx context.Context, before time.Time, limit int) (int, error)

	// Size returns the bytes that the database uses on disk for this store.
	Size(ctx context.Context) (int64, error)

	// Listen calls wake each time another server may have committed, or this one
	// without having been told, until ctx ends; calls may be spurious or
	// coalesced. It calls
	// wake once after each (re)connect. A driver that has no such messages
	// (SQLite) waits for ctx. It returns only when ctx ends.
	Listen(ctx context.Context, wake func())

	// Close releases the connections. Calls under way end with an error.
	Close() error
}

// State is the position of a store.
type State struct {
	// Revision of the last applied write; 0 in an empty store.
	Revision int64
	// Compacted is the revision up to which history was dropped: events after
	// it can be read. 0 when nothing was dropped yet.
	Compacted int64
	// Epoch names the line of history. It changes when acknowledged commits
	// may have been lost (a replica promoted, a backup restored), so that
	// equal revisions of two epochs are not comparable.
	Epoch string
}

// A Record is one live key.
type Record struct {
	Key      string
	Value    []byte
	Created  int64     // revision of the write that created the key
	Modified int64     // revision of the last write
	Expires  time.Time // zero: never

	// Err is set by the store, never by a driver, when the value could not be
	// opened, see [Sealer]: Value is then what the database keeps.
	Err error
}

// A Write puts or deletes one key.
type Write struct {
	Key string
	// Value to put; nil deletes the key, an empty one is put. Deleting a key
	// that does not exist is left out like a failed expectation.
	Value []byte
	// Expect is the Modified revision that the key must have; 0 means that the
	// key must not exist.
	Expect int64
	// Expires is when the key deletes itself, to the microsecond; zero: never.
	Expires time.Time
}

// Delete says whether the write deletes its key.
func (w Write) Delete() bool { return w.Value == nil }

// BatchID names a batch across retries. Sequence grows by at least one for
// each new batch of an origin, which is one run of one server.
type BatchID struct {
	Origin   string
	Sequence int64
}

// A Batch is what one transaction applies.
type Batch struct {
	ID     BatchID
	Writes []Write
}

// An Outcome says what became of one write.
type Outcome struct {
	// Revision the write got; 0 when its expectation did not hold.
	Revision int64
	// Current is the Modified revision that the key had when the batch was
	// applied, before this write; 0 when it did not exist.
	Current int64
}

// An Event is one applied write.
type Event struct {
	Revision int64
	// Record after the write. A delete has a nil Value; its Key, Created and
	// Modified (= Revision) are set.
	Record Record
	// Previous record; nil when the write created the key. Filled only when
	// the query asks for it, except that its Modified is always known.
	Previous *Record
}

// Delete says whether the event deleted its key.
func (e Event) Delete() bool { return e.Record.Value == nil }

// An EventQuery selects a part of history.
type EventQuery struct {
	After  int64  // revision after which events are wanted
	Prefix string // only keys with this prefix; empty: all
	Limit  int
	// Previous asks for the value that each event replaced.
	Previous bool
}
