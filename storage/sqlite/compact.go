package sqlite

import (
	"context"
	"time"
)

// batchMemory is how long the last batch of a server is remembered after it;
// nobody repeats a batch for that long.
const batchMemory = 24 * time.Hour

// Compact drops old history, see [storage.Driver].
func (d *Driver) Compact(ctx context.Context, before time.Time, limit int) (int, error) {
	var dropped int64
	err := d.transact(ctx, "compact", func(ctx context.Context, w *writer) error {
		var cut int64
		if _, err := w.get(ctx, d.queries.Cut, []any{before.UnixMicro(), limit}, &cut, &dropped); err != nil {
			return err
		}
		if dropped > 0 {
			if err := w.exec(ctx, d.queries.Drop, cut); err != nil {
				return err
			}
			if err := w.exec(ctx, d.queries.Compacted, cut); err != nil {
				return err
			}
		}
		return w.exec(ctx, d.queries.ForgetBatches, time.Now().Add(-batchMemory).UnixMicro())
	})
	if err != nil {
		return 0, err
	}
	return int(dropped), nil
}
