package sqlite

import (
	"context"
	stdsql "database/sql"
	"fmt"

	"github.com/howdah/howdah/storage"
)

// Load yields every live record, see [storage.Driver].
func (d *Driver) Load(ctx context.Context, yield func(storage.Record) error) (storage.State, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	var refused error
	state, err := d.snapshot(ctx, func(tx *stdsql.Tx) error {
		rows, err := tx.QueryContext(ctx, d.queries.Load)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r storage.Record
			var expires *int64
			var key stdsql.RawBytes
			if err := rows.Scan(&key, &r.Value, &r.Created, &r.Modified, &expires); err != nil {
				return err
			}
			r.Key, r.Value, r.Expires = string(key), present(r.Value), timeOf(expires)
			if refused = yield(r); refused != nil {
				return fmt.Errorf("load %s: %w", r.Key, refused)
			}
		}
		return rows.Err()
	})
	if err != nil && refused == nil {
		err = d.fail(ctx, "load", err)
	}
	return state, err
}
