package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/howdah/howdah/storage"
)

// State reads the current revision, see [storage.Driver].
func (d *Driver) State(ctx context.Context) (storage.State, error) {
	var state storage.State
	err := d.try(ctx, "read the state", callTimeout, func(ctx context.Context) error {
		return scanState(d.pool.QueryRow(ctx, d.queries.State), &state)
	})
	return state, err
}

func scanState(row pgx.Row, state *storage.State) error {
	return row.Scan(&state.Revision, &state.Compacted, &state.Epoch)
}
