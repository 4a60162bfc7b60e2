package sqlite

import (
	"context"
	stdsql "database/sql"
	"errors"

	"github.com/howdah/howdah/storage"
)

// Get reads one live record, see [storage.Driver].
func (d *Driver) Get(ctx context.Context, key string) (storage.Record, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	r := storage.Record{Key: key}
	var expires *int64
	err := d.read.QueryRowContext(ctx, d.queries.Get, []byte(key)).Scan(&r.Value, &r.Created, &r.Modified, &expires)
	switch {
	case errors.Is(err, stdsql.ErrNoRows):
		return storage.Record{}, nil
	case err != nil:
		return storage.Record{}, d.fail(ctx, "get", err)
	}
	r.Value, r.Expires = present(r.Value), timeOf(expires)
	return r, nil
}
