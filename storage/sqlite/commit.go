package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/howdah/howdah/storage"
)

// Commit applies the batch, see [storage.Driver].
func (d *Driver) Commit(ctx context.Context, batch storage.Batch) ([]storage.Outcome, error) {
	var outcomes []storage.Outcome
	err := d.transact(ctx, "commit", func(ctx context.Context, w *writer) error {
		result, seen, err := d.remembered(ctx, w, batch.ID)
		if err != nil {
			return err
		}
		if !seen {
			if result, err = d.apply(ctx, w, batch); err != nil {
				return err
			}
		}
		outcomes = result.outcomes(batch.Writes)
		return nil
	})
	return outcomes, err
}

// result is what became of a batch, as it is remembered: the writes that
// applied got the revisions after base, in order.
type result struct {
	base      int64
	conflicts []int   // positions of the others, from 1
	currents  []int64 // the revisions that their keys had
}

// outcomes spells the result out: the expectations of writes that applied were
// the truth.
func (r result) outcomes(writes []storage.Write) []storage.Outcome {
	out := make([]storage.Outcome, len(writes))
	revision, next := r.base, 0
	for i, w := range writes {
		if next < len(r.conflicts) && r.conflicts[next] == i+1 {
			out[i].Current = r.currents[next]
			next++
			continue
		}
		revision++
		out[i] = storage.Outcome{Revision: revision, Current: w.Expect}
	}
	return out
}

// remembered finds the result of a batch that was applied before.
func (d *Driver) remembered(ctx context.Context, w *writer, id storage.BatchID) (r result, seen bool, err error) {
	var sequence int64
	var conflicts, currents []byte
	found, err := w.get(ctx, d.queries.Batch, []any{id.Origin}, &sequence, &r.base, &conflicts, &currents)
	switch {
	case err != nil || !found || sequence < id.Sequence:
		return r, false, err
	case sequence > id.Sequence:
		return r, false, fmt.Errorf("batch %d of %s: %w", id.Sequence, id.Origin, storage.ErrFenced)
	}
	if err := json.Unmarshal(conflicts, &r.conflicts); err != nil {
		return r, false, err
	}
	return r, true, json.Unmarshal(currents, &r.currents)
}

func (d *Driver) apply(ctx context.Context, w *writer, batch storage.Batch) (result, error) {
	var state storage.State
	if _, err := w.get(ctx, d.queries.State, nil, &state.Revision, &state.Compacted, &state.Epoch); err != nil {
		return result{}, err
	}
	r := result{base: state.Revision}
	now, revision := time.Now(), state.Revision
	for i, write := range batch.Writes {
		var current int64
		exists, err := w.get(ctx, d.queries.Current, []any{[]byte(write.Key)}, &current)
		if err != nil {
			return r, err
		}
		if current != write.Expect || write.Delete() && !exists {
			r.conflicts = append(r.conflicts, i+1)
			r.currents = append(r.currents, current)
			continue
		}
		revision++
		if err := d.put(ctx, w, write, revision, now); err != nil {
			return r, err
		}
	}
	if err := w.exec(ctx, d.queries.Advance, revision); err != nil {
		return r, err
	}
	conflicts, err := json.Marshal(r.conflicts)
	if err != nil {
		return r, err
	}
	currents, err := json.Marshal(r.currents)
	if err != nil {
		return r, err
	}
	return r, w.exec(ctx, d.queries.Remember, batch.ID.Origin, batch.ID.Sequence, now.UnixMicro(), r.base, conflicts, currents)
}

// put writes the log and the live record.
func (d *Driver) put(ctx context.Context, w *writer, write storage.Write, revision int64, now time.Time) error {
	key := []byte(write.Key)
	if write.Expect == 0 {
		if err := w.exec(ctx, d.queries.LogCreate, revision, now.UnixMicro(), key); err != nil {
			return err
		}
		return w.exec(ctx, d.queries.Insert, key, write.Value, revision, micros(write.Expires))
	}
	if err := w.exec(ctx, d.queries.LogReplace, revision, now.UnixMicro(), key, write.Delete()); err != nil {
		return err
	}
	if write.Delete() {
		return w.exec(ctx, d.queries.Delete, key)
	}
	return w.exec(ctx, d.queries.Update, key, write.Value, revision, micros(write.Expires))
}

// micros is how the tables keep a time; the zero time is null.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// timeOf is the zero time for null.
func timeOf(micros *int64) time.Time {
	if micros == nil {
		return time.Time{}
	}
	return time.UnixMicro(*micros)
}
