package postgres

import (
	"context"
	"time"
)

// batchMemory is how long the last batch of a server is remembered after it;
// nobody repeats a batch for that long.
const batchMemory = 24 * time.Hour

// Compact drops old history, see [storage.Driver].
func (d *Driver) Compact(ctx context.Context, before time.Time, limit int) (int, error) {
	var dropped int
	err := d.try(ctx, "compact", scanTimeout, func(ctx context.Context) error {
		return d.pool.QueryRow(ctx, d.queries.Compact, before, limit).Scan(&dropped)
	})
	if err != nil {
		return 0, err
	}
	// The database's clock stamped the batches, but a day is longer than clocks differ.
	err = d.try(ctx, "forget batches", callTimeout, func(ctx context.Context) error {
		_, err := d.pool.Exec(ctx, d.queries.ForgetBatches, time.Now().Add(-batchMemory))
		return err
	})
	return dropped, err
}
