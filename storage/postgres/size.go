package postgres

import "context"

// Size of the store's tables and indexes on disk.
func (d *Driver) Size(ctx context.Context) (int64, error) {
	var size int64
	err := d.try(ctx, "measure the size", callTimeout, func(ctx context.Context) error {
		return d.pool.QueryRow(ctx, d.queries.Size).Scan(&size)
	})
	return size, err
}
