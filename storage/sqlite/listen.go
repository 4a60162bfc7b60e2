package sqlite

import "context"

// Listen has nobody to listen to: one server has the file.
func (d *Driver) Listen(ctx context.Context, _ func()) {
	select {
	case <-ctx.Done():
	case <-d.closing.Done():
	}
}
