// Package storage owns the store: group commit, the object cache, the watch hub,
// times to live and compaction; and the [Driver] interface to a database, which
// the packages below it implement.
//
// # Writing
//
//	Write ──▶ queue ──▶ committer ──▶ Driver.Commit ──▶ feed ──▶ cache ──▶ Write returns
//	          bounded   one batch        one              │
//	                    at a time        transaction      └──▶ hub ──▶ watchers
//
// A write is queued, taken, acknowledged and applied. The committer takes all that
// is queued, within bounds, while the batch before is on its way; a lone write
// goes at once. Two writes to one key never share a batch, the later one waits
// for the next.
//
//   - The database answers: writes whose expectation held are applied to the
//     cache before their callers return (read your writes), the others get a
//     [ConflictError] once the cache has caught up with the conflict.
//   - The database is lost, or its answer is: the same batch, with the same
//     [BatchID], is sent again until there is an answer or its callers give up
//     ([ErrUnknownOutcome]). The next batch has a greater sequence, which keeps
//     the abandoned one from being applied later. Before it is taken, the
//     database must answer a question, so that writes which are still queued are
//     known not to be written ([ErrUnavailable]).
//   - The database refuses: the same answer three times is believed. A batch is
//     then tried write by write, so that only the refused one fails.
//   - The caller leaves: a write that is still queued is taken back, one that was
//     taken is waited for.
//
// # Reading and watching
//
//	Commit's answer ─────────────┐ it continues our revision: apply it as it is
//	Driver.Listen, a quiet time ─┼─▶ feed ──▶ Driver.Events after our revision
//	Sync, Wait ──────────────────┘    │
//	                                  ▼
//	      describe ▶ record (recent changes) ▶ publish the trees ▶ release who waits ▶ watchers
//
// The feed is the only goroutine that applies, and it applies each revision once
// and in order. What it finds decides what happens:
//
//   - The next revisions: they are applied.
//   - A gap after our revision: the tail of history is read.
//   - Another epoch, a revision below ours, or an answer that contradicts the
//     cache: acknowledged commits were lost. Everything is loaded again and the
//     watchers end with [ErrNewEpoch].
//   - History that begins after our revision: everything is loaded again and the
//     watchers end with [ErrCompacted].
//   - No answer: reads of the cache and watches go on, [Store.Sync] fails with
//     [ErrUnavailable], and the feed tries again.
//
// A collection's tree is copied on write, so a snapshot is a pointer, and all
// that a reader ever waits for is the exchange of a few pointers. A snapshot of
// an older revision is made by undoing the changes since, from memory or from
// the database's history.
//
// A watcher begins at a revision. As long as memory does not reach back to it,
// it reads pages of history; then it takes what memory has and joins the hub, in
// one step under the hub's lock, so nothing is missed or seen twice. A watcher
// whose queue is full ends with [ErrSlowWatcher]; no change is ever left out.
//
// # Invariants
//
//   - Revision order is commit order, and a revision is visible everywhere or
//     nowhere: tree, index and revision change in one step.
//   - The cache is at most as new as the database, and after [Store.Sync] as new
//     as the database was when Sync was called.
//   - A watcher is given every change of its collection after its revision that
//     concerns its selection, once, in order, or an error.
//   - Memory beside the live objects is bounded: recent changes, encodings and
//     each watcher's queue have budgets; old snapshots a number and an age.
package storage
