package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/howdah/howdah/storage"
)

// loadRows is how many rows one statement of a load reads, so that no statement
// is long and a server that freezes half-way is noticed.
const loadRows = 2000

// Load yields every live record, see [storage.Driver].
func (d *Driver) Load(ctx context.Context, yield func(storage.Record) error) (storage.State, error) {
	var state storage.State
	var tx pgx.Tx
	err := d.try(ctx, "begin to load", callTimeout, func(ctx context.Context) (err error) {
		tx, err = d.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		if err != nil {
			return err
		}
		if err = scanState(tx.QueryRow(ctx, d.queries.State), &state); err != nil {
			d.rollback(tx)
		}
		return err
	})
	if err != nil {
		return state, err
	}
	defer d.rollback(tx)

	after := []byte{}
	for {
		last, n, err := d.loadPart(ctx, tx, after, yield)
		if err != nil || n < loadRows {
			return state, err
		}
		after = last
	}
}

// loadPart yields the records after a key and returns the last key and how many.
func (d *Driver) loadPart(ctx context.Context, tx pgx.Tx, after []byte, yield func(storage.Record) error) (last []byte, n int, err error) {
	ctx, cancel := d.bounded(ctx, scanTimeout)
	defer cancel()
	rows, err := tx.Query(ctx, d.queries.Load, after, loadRows)
	if err != nil {
		return nil, 0, classify(ctx, "load", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r storage.Record
		var expires *time.Time
		var key []byte
		if err := rows.Scan(&key, &r.Value, &r.Created, &r.Modified, &expires); err != nil {
			return nil, 0, classify(ctx, "load", err)
		}
		r.Key, r.Expires, last = string(key), timeOf(expires), key
		if err := yield(r); err != nil {
			return nil, 0, fmt.Errorf("load %s: %w", r.Key, err)
		}
		n++
	}
	if err := rows.Err(); err != nil {
		return nil, 0, classify(ctx, "load", err)
	}
	return last, n, nil
}

func (d *Driver) rollback(tx pgx.Tx) {
	ctx, cancel := d.bounded(context.Background(), callTimeout)
	defer cancel()
	if err := tx.Rollback(ctx); err != nil {
		d.logger.Debug("Rolling back failed", "error", err)
	}
}
