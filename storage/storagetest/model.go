package storagetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/howdah/howdah/storage"
)

// A model is a driver in its simplest form: a map and a list.
type model struct {
	live      map[string]storage.Record
	events    []storage.Event
	compacted int64
}

func (m *model) apply(writes []storage.Write) []storage.Outcome {
	outcomes := make([]storage.Outcome, len(writes))
	for i, w := range writes {
		old, exists := m.live[w.Key]
		outcomes[i].Current = old.Modified
		if old.Modified != w.Expect || w.Delete() && !exists {
			continue
		}
		revision := int64(len(m.events)) + 1
		outcomes[i].Revision = revision
		record := storage.Record{Key: w.Key, Value: w.Value, Created: revision, Modified: revision, Expires: w.Expires}
		event := storage.Event{Revision: revision}
		if exists {
			record.Created = old.Created
			event.Previous = &old
		}
		event.Record = record
		m.events = append(m.events, event)
		if w.Delete() {
			delete(m.live, w.Key)
		} else {
			m.live[w.Key] = record
		}
	}
	return outcomes
}

func (m *model) records() (records []storage.Record) {
	for _, r := range m.live {
		records = append(records, r)
	}
	sort.Slice(records, func(i, j int) bool { return records[i].Key < records[j].Key })
	return records
}

// testModel makes random batches, compactions and reads and compares with the
// model.
func testModel(t *testing.T, d storage.Driver) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	m := &model{live: map[string]storage.Record{}}
	w := newWriter("model")
	names := make([]string, 40)
	for i := range names {
		names[i] = fmt.Sprintf("/%c/%d", 'a'+i%4, i)
	}
	for range 300 {
		switch random.IntN(10) {
		case 0:
			n, err := d.Compact(t.Context(), time.Now().Add(time.Hour), random.IntN(20)+1)
			must(t, err)
			m.compacted += int64(n)
		case 1:
			equal(t, "records", load(t, d), m.records())
		case 2, 3, 4:
			m.compare(t, d, random, names)
		default:
			batch := w.batch(randomWrites(random, names, m.live)...)
			want := m.apply(batch.Writes)
			equal(t, "outcomes", commit(t, d, batch), want)
			if random.IntN(3) == 0 {
				equal(t, "outcomes of the same batch", commit(t, d, batch), want)
			}
		}
		if t.Failed() {
			return
		}
	}
}

func randomWrites(random *rand.Rand, names []string, live map[string]storage.Record) (writes []storage.Write) {
	for _, i := range random.Perm(len(names))[:random.IntN(12)] {
		w := storage.Write{Key: names[i], Expect: live[names[i]].Modified}
		if random.IntN(4) == 0 {
			w.Expect = int64(random.IntN(50))
		}
		if random.IntN(3) > 0 {
			w.Value = []byte(fmt.Sprint(random.Uint64()))
			if random.IntN(4) == 0 {
				w.Expires = time.UnixMicro(int64(random.IntN(1 << 50)))
			}
		}
		writes = append(writes, w)
	}
	return writes
}

func (m *model) compare(t *testing.T, d storage.Driver, random *rand.Rand, names []string) {
	t.Helper()
	query := storage.EventQuery{
		After: int64(random.IntN(len(m.events) + 1)), Limit: random.IntN(30) + 1, Previous: true,
		Prefix: []string{"", "/", "/a/", "/b/1", names[random.IntN(len(names))]}[random.IntN(5)],
	}
	got, state, err := d.Events(t.Context(), query)
	if query.After < m.compacted {
		if !errors.Is(err, storage.ErrCompacted) {
			t.Errorf("events after %d of %d compacted: %v", query.After, m.compacted, err)
		}
		return
	}
	must(t, err)
	want := slices.Clone(m.events[query.After:])
	want = slices.DeleteFunc(want, func(e storage.Event) bool {
		return len(e.Record.Key) < len(query.Prefix) || e.Record.Key[:len(query.Prefix)] != query.Prefix
	})
	want = want[:min(len(want), query.Limit)]
	equal(t, fmt.Sprintf("%+v", query), got, want)
	if state.Revision != int64(len(m.events)) || state.Compacted != m.compacted {
		t.Errorf("state %+v, want %d and %d", state, len(m.events), m.compacted)
	}
}
