package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/howdah/howdah/storage"
)

// Get reads one live record, see [storage.Driver].
func (d *Driver) Get(ctx context.Context, key string) (storage.Record, error) {
	var r storage.Record
	err := d.try(ctx, "get", callTimeout, func(ctx context.Context) error {
		r = storage.Record{Key: key}
		var expires *time.Time
		err := d.pool.QueryRow(ctx, d.queries.Get, []byte(key)).Scan(&r.Value, &r.Created, &r.Modified, &expires)
		if errors.Is(err, pgx.ErrNoRows) {
			r = storage.Record{}
			return nil
		}
		r.Expires = timeOf(expires)
		return err
	})
	return r, err
}
