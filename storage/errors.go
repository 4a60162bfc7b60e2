package storage

import "errors"

// The classes of error that a store returns; test with [errors.Is]. The server
// maps each to one API status.
var (
	// ErrUnavailable: the database can't be reached or refused to answer now.
	// Nothing was written; the call may be repeated.
	ErrUnavailable = errors.New("the database is unavailable")
	// ErrUnknownOutcome: the database was lost while a write was under way and
	// did not come back in time, so the write may or may not have been applied.
	ErrUnknownOutcome = errors.New("the database was lost during the write, which may or may not have been applied")
	// ErrFenced: a later batch of the same origin was applied already.
	ErrFenced = errors.New("a later batch was applied already")
	// ErrCompacted: history no longer reaches back to the wanted revision.
	ErrCompacted = errors.New("the requested revision has been compacted")
	// ErrFutureRevision: the wanted revision has not happened.
	ErrFutureRevision = errors.New("the requested revision is larger than the current one")
	// ErrSlowWatcher: a watcher did not take its events fast enough.
	ErrSlowWatcher = errors.New("the watcher is too slow")
	// ErrNewEpoch: the database lost acknowledged commits, see [State.Epoch].
	ErrNewEpoch = errors.New("the database went back in time")
	// ErrClosed: the store is stopping.
	ErrClosed = errors.New("the store is closed")
)
