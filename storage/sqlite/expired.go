package sqlite

import (
	"context"
	stdsql "database/sql"
	"time"

	"github.com/howdah/howdah/storage"
)

// Expired finds keys whose time is over, see [storage.Driver].
func (d *Driver) Expired(ctx context.Context, now time.Time, limit int) ([]storage.Record, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	rows, err := d.read.QueryContext(ctx, d.queries.Expired, now.UnixMicro(), limit)
	if err != nil {
		return nil, d.fail(ctx, "find expired keys", err)
	}
	defer rows.Close()
	var records []storage.Record
	for rows.Next() {
		var r storage.Record
		var key stdsql.RawBytes
		var expires *int64
		if err := rows.Scan(&key, &r.Created, &r.Modified, &expires); err != nil {
			return nil, d.fail(ctx, "find expired keys", err)
		}
		r.Key, r.Expires = string(key), timeOf(expires)
		records = append(records, r)
	}
	if err := rows.Err(); err != nil {
		return nil, d.fail(ctx, "find expired keys", err)
	}
	return records, nil
}
