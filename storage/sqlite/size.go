package sqlite

import "context"

// Size of the file.
func (d *Driver) Size(ctx context.Context) (int64, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	var size int64
	if err := d.read.QueryRowContext(ctx, d.queries.Size).Scan(&size); err != nil {
		return 0, d.fail(ctx, "measure the size", err)
	}
	return size, nil
}
