package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/howdah/howdah/storage"
)

// Events reads history, see [storage.Driver].
func (d *Driver) Events(ctx context.Context, query storage.EventQuery) ([]storage.Event, storage.State, error) {
	var events []storage.Event
	var state storage.State
	err := d.try(ctx, "read events", scanTimeout, func(ctx context.Context) error {
		rows, err := d.pool.Query(ctx, d.queries.Events,
			query.After, []byte(query.Prefix), prefixEnd(query.Prefix), query.Limit, query.Previous)
		if err != nil {
			return err
		}
		events, state, err = scanEvents(rows)
		return err
	})
	if err == nil && query.After < state.Compacted {
		err = fmt.Errorf("events after %d, history begins after %d: %w", query.After, state.Compacted, storage.ErrCompacted)
	}
	if err != nil {
		return nil, state, err
	}
	return events, state, nil
}

// scanEvents reads rows that each begin with the state; one without an event
// stands for none.
func scanEvents(rows pgx.Rows) (events []storage.Event, state storage.State, err error) {
	defer rows.Close()
	for rows.Next() {
		var (
			revision, created, previous *int64
			deleted                     *bool
			key, value, previousValue   []byte
			expires, previousExpires    *time.Time
		)
		if err := rows.Scan(&state.Revision, &state.Compacted, &state.Epoch,
			&revision, &key, &deleted, &created, &value, &expires,
			&previous, &previousValue, &previousExpires); err != nil {
			return nil, state, err
		}
		if revision == nil {
			continue
		}
		name := string(key)
		event := storage.Event{Revision: *revision, Record: storage.Record{Key: name, Created: *created, Modified: *revision}}
		if !*deleted {
			event.Record.Value, event.Record.Expires = value, timeOf(expires)
			if value == nil {
				return nil, state, fmt.Errorf("the log lacks the value of revision %d: the tables of the store were changed by hand or restored in part", *revision)
			}
		}
		if *previous > 0 {
			event.Previous = &storage.Record{
				Key: name, Value: previousValue, Created: *created, Modified: *previous, Expires: timeOf(previousExpires),
			}
		}
		events = append(events, event)
	}
	return events, state, rows.Err()
}

// prefixEnd is the first key after all those with the prefix; nil when there is
// no end.
func prefixEnd(prefix string) []byte {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}
