package write

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/howdah/howdah/storage"
)

// memory is a driver without a database, so that benchmarks show what the
// server itself costs.
type memory struct {
	mu      sync.Mutex
	records map[string]storage.Record
	history []storage.Event
	last    storage.BatchID
	told    []storage.Outcome
}

func newMemory() *memory { return &memory{records: map[string]storage.Record{}} }

func (m *memory) Exclusive() bool { return true }

func (m *memory) Commit(_ context.Context, batch storage.Batch) ([]storage.Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == batch.ID {
		return m.told, nil
	}
	m.last, m.told = batch.ID, nil
	for _, w := range batch.Writes {
		previous, exists := m.records[w.Key]
		outcome := storage.Outcome{Current: previous.Modified}
		if w.Expect == previous.Modified {
			outcome.Revision = int64(len(m.history)) + 1
			record := storage.Record{Key: w.Key, Value: slices.Clone(w.Value), Created: outcome.Revision, Modified: outcome.Revision, Expires: w.Expires}
			event := storage.Event{Revision: outcome.Revision}
			if exists {
				record.Created, event.Previous = previous.Created, &previous
			}
			event.Record = record
			if m.records[w.Key] = record; w.Delete() {
				event.Record.Value = nil
				delete(m.records, w.Key)
			}
			m.history = append(m.history, event)
		}
		m.told = append(m.told, outcome)
	}
	return m.told, nil
}

func (m *memory) state() storage.State {
	return storage.State{Revision: int64(len(m.history)), Epoch: "memory"}
}

func (m *memory) State(context.Context) (storage.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state(), nil
}

func (m *memory) Load(_ context.Context, yield func(storage.Record) error) (storage.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(m.records)) {
		if err := yield(m.records[key]); err != nil {
			return storage.State{}, err
		}
	}
	return m.state(), nil
}

func (m *memory) Get(_ context.Context, key string) (storage.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.records[key], nil
}

func (m *memory) Events(_ context.Context, q storage.EventQuery) ([]storage.Event, storage.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var events []storage.Event
	for _, event := range m.history[min(q.After, int64(len(m.history))):] {
		if len(events) < q.Limit && strings.HasPrefix(event.Record.Key, q.Prefix) {
			events = append(events, event)
		}
	}
	return events, m.state(), nil
}

func (m *memory) Expired(context.Context, time.Time, int) ([]storage.Record, error) { return nil, nil }
func (m *memory) Compact(context.Context, time.Time, int) (int, error)              { return 0, nil }
func (m *memory) Size(context.Context) (int64, error)                               { return 0, nil }
func (m *memory) Listen(ctx context.Context, wake func())                           { wake(); <-ctx.Done() }
func (m *memory) Close() error                                                      { return nil }
