package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/howdah/howdah/storage"
)

// Commit applies the batch, see [storage.Driver].
func (d *Driver) Commit(ctx context.Context, batch storage.Batch) ([]storage.Outcome, error) {
	n := len(batch.Writes)
	keys, values := make([][]byte, n), make([][]byte, n)
	expects, expires := make([]int64, n), make([]int64, n)
	for i, w := range batch.Writes {
		keys[i], values[i], expects[i] = []byte(w.Key), w.Value, w.Expect
		if !w.Expires.IsZero() {
			expires[i] = w.Expires.UnixMicro()
		}
	}

	var base int64
	var conflicts []int32
	var currents []int64
	err := d.try(ctx, "commit", callTimeout, func(ctx context.Context) error {
		return d.pool.QueryRow(ctx, d.queries.Commit,
			batch.ID.Origin, batch.ID.Sequence, keys, values, expects, expires,
		).Scan(&base, &conflicts, &currents)
	})
	if err != nil {
		d.forgetOrigin()
		return nil, err
	}
	if base < 0 {
		return nil, fmt.Errorf("batch %d of %s: %w", batch.ID.Sequence, batch.ID.Origin, storage.ErrFenced)
	}
	d.origin.Store(&batch.ID.Origin)
	return outcomes(batch.Writes, base, conflicts, currents), nil
}

// forgetOrigin makes Listen heed notifications of this server, too: one of them
// may be all that is heard of a batch that was applied.
func (d *Driver) forgetOrigin() {
	d.origin.Store(nil)
	select {
	case d.lost <- struct{}{}:
	default:
	}
}

// outcomes spells out what the database remembers: the writes that applied got
// the revisions after base, in order, and their expectations were the truth.
func outcomes(writes []storage.Write, base int64, conflicts []int32, currents []int64) []storage.Outcome {
	out := make([]storage.Outcome, len(writes))
	for i, position := range conflicts {
		out[position-1] = storage.Outcome{Current: currents[i]}
	}
	revision, next := base, 0
	for i, w := range writes {
		if next < len(conflicts) && int(conflicts[next]) == i+1 {
			next++
			continue
		}
		revision++
		out[i] = storage.Outcome{Revision: revision, Current: w.Expect}
	}
	return out
}

// timeOf is the zero time for null.
func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
