package sqlite

import (
	"context"
	stdsql "database/sql"

	"github.com/howdah/howdah/storage"
)

// snapshot runs f in a read transaction, with the state that it reads at.
func (d *Driver) snapshot(ctx context.Context, f func(tx *stdsql.Tx) error) (state storage.State, err error) {
	tx, err := d.read.BeginTx(ctx, nil)
	if err != nil {
		return state, err
	}
	defer tx.Rollback()
	if err := tx.QueryRowContext(ctx, d.queries.State).Scan(&state.Revision, &state.Compacted, &state.Epoch); err != nil {
		return state, err
	}
	return state, f(tx)
}
