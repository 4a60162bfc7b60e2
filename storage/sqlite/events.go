package sqlite

import (
	"context"
	stdsql "database/sql"
	"fmt"

	"github.com/howdah/howdah/storage"
)

// Events reads history, see [storage.Driver].
func (d *Driver) Events(ctx context.Context, query storage.EventQuery) ([]storage.Event, storage.State, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	var events []storage.Event
	state, err := d.snapshot(ctx, func(tx *stdsql.Tx) error {
		rows, err := tx.QueryContext(ctx, d.queries.Events,
			query.After, []byte(query.Prefix), prefixEnd(query.Prefix), query.Limit, query.Previous)
		if err != nil {
			return err
		}
		events, err = scanEvents(rows, query.Previous)
		return err
	})
	if err != nil {
		return nil, state, d.fail(ctx, "read events", err)
	}
	if query.After < state.Compacted {
		return nil, state, fmt.Errorf("events after %d, history begins after %d: %w", query.After, state.Compacted, storage.ErrCompacted)
	}
	return events, state, nil
}

// scanEvents reads the rows; values says that they have the previous values.
func scanEvents(rows *stdsql.Rows, values bool) (events []storage.Event, err error) {
	defer rows.Close()
	for rows.Next() {
		var (
			event                    storage.Event
			key                      stdsql.RawBytes
			deleted, found           bool
			previous                 int64
			value, previousValue     []byte
			expires, previousExpires *int64
		)
		if err := rows.Scan(&event.Revision, &key, &deleted, &event.Record.Created, &found, &value, &expires,
			&previous, &previousValue, &previousExpires); err != nil {
			return nil, err
		}
		record := &event.Record
		record.Key, record.Modified = string(key), event.Revision
		if !deleted {
			record.Value, record.Expires = present(value), timeOf(expires)
			if !found {
				return nil, fmt.Errorf("the log lacks the value of revision %d: the tables of the store were changed by hand", event.Revision)
			}
		}
		if previous > 0 {
			if values {
				previousValue = present(previousValue)
			}
			event.Previous = &storage.Record{
				Key: record.Key, Value: previousValue, Created: record.Created, Modified: previous, Expires: timeOf(previousExpires),
			}
		}
		events = append(events, event)
	}
	return events, rows.Err()
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

// present tells an empty value from none; SQLite's driver has nil for both.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}
