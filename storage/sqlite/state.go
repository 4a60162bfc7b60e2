package sqlite

import (
	"context"

	"github.com/howdah/howdah/storage"
)

// State reads the current revision, see [storage.Driver].
func (d *Driver) State(ctx context.Context) (storage.State, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	var state storage.State
	if err := d.read.QueryRowContext(ctx, d.queries.State).Scan(&state.Revision, &state.Compacted, &state.Epoch); err != nil {
		return state, d.fail(ctx, "read the state", err)
	}
	return state, nil
}
