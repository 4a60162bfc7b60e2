package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/howdah/howdah/storage"
)

// Expired finds keys whose time is over, see [storage.Driver].
func (d *Driver) Expired(ctx context.Context, now time.Time, limit int) ([]storage.Record, error) {
	var records []storage.Record
	err := d.try(ctx, "find expired keys", callTimeout, func(ctx context.Context) error {
		rows, err := d.pool.Query(ctx, d.queries.Expired, now, limit)
		if err != nil {
			return err
		}
		records, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r storage.Record, err error) {
			var key []byte
			err = row.Scan(&key, &r.Created, &r.Modified, &r.Expires)
			r.Key = string(key)
			return r, err
		})
		return err
	})
	return records, err
}
