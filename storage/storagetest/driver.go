package storagetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/howdah/howdah/storage"
)

// A Factory makes a fresh, empty store and returns what opens a driver on it.
// The drivers are closed with the test.
type Factory func(t testing.TB) (open func() storage.Driver)

// Traits are what a driver can't do, each with the reason.
type Traits struct {
	// OneServer is why a store can't have a second driver; empty if it can.
	OneServer string
}

// Driver runs the suite that every driver passes.
func Driver(t *testing.T, factory Factory, traits Traits) {
	one := func(test func(*testing.T, storage.Driver)) func(*testing.T) {
		return func(t *testing.T) {
			t.Parallel()
			test(t, factory(t)())
		}
	}
	several := func(test func(*testing.T, func() storage.Driver)) func(*testing.T) {
		return func(t *testing.T) {
			if traits.OneServer != "" {
				t.Skip(traits.OneServer)
			}
			t.Parallel()
			test(t, factory(t))
		}
	}
	t.Run("an empty store", one(testEmpty))
	t.Run("create, replace and delete", one(testWrites))
	t.Run("conflicts leave out their write only", one(testConflicts))
	t.Run("an empty value is a value", one(testEmptyValue))
	t.Run("large values", one(testLargeValues))
	t.Run("get", one(testGet))
	t.Run("a batch applies once", one(testIdempotence))
	t.Run("an older batch is fenced", one(testFence))
	t.Run("events", one(testEvents))
	t.Run("events of a prefix", one(testEventPrefix))
	t.Run("keys are bytes in byte order", one(testKeyOrder))
	t.Run("compaction", one(testCompaction))
	t.Run("compaction beside commits", one(testCompactionBesideCommits))
	t.Run("expiry", one(testExpiry))
	t.Run("load is one snapshot", one(testLoadSnapshot))
	t.Run("load stops when told", one(testLoadStops))
	t.Run("size", one(testSize))
	t.Run("close ends calls", one(testClose))
	t.Run("a cancelled call", one(testCancelled))
	t.Run("listen ends with its context", one(testListenEnds))
	t.Run("random writes against a model", one(testModel))
	t.Run("reopened", func(t *testing.T) { t.Parallel(); testReopen(t, factory(t)) })
	t.Run("revisions without gaps from several servers", several(testServers))
	t.Run("a batch from a second connection applies once", several(testIdempotenceAcross))
	t.Run("another server wakes", several(testWake))
	t.Run("opened by several at once", several(testOpenTogether))
}

// Logger sends to the test's log.
func Logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func testEmpty(t *testing.T, d storage.Driver) {
	state, err := d.State(t.Context())
	must(t, err)
	if state.Revision != 0 || state.Compacted != 0 || state.Epoch == "" {
		t.Errorf("state of an empty store: %+v", state)
	}
	if records := load(t, d); len(records) != 0 {
		t.Errorf("an empty store has %v", records)
	}
	if events := history(t, d, storage.EventQuery{}); len(events) != 0 {
		t.Errorf("an empty store has history %v", events)
	}
	w := newWriter("empty")
	if got := w.commit(t, d); len(got) != 0 {
		t.Errorf("outcomes of an empty batch: %v", got)
	}
	again, err := d.State(t.Context())
	must(t, err)
	if again != state {
		t.Errorf("an empty batch moved the state from %+v to %+v", state, again)
	}
}

func testWrites(t *testing.T, d storage.Driver) {
	w := newWriter("a")
	equal(t, "create", w.commit(t, d, put("/a", "1", 0), put("/b", "2", 0)), []storage.Outcome{{Revision: 1}, {Revision: 2}})
	equal(t, "create again", w.commit(t, d, put("/a", "x", 0)), []storage.Outcome{{Current: 1}})
	equal(t, "replace", w.commit(t, d, put("/a", "3", 1)), []storage.Outcome{{Revision: 3, Current: 1}})
	equal(t, "replace by an old revision", w.commit(t, d, put("/a", "x", 1)), []storage.Outcome{{Current: 3}})
	equal(t, "replace what is not there", w.commit(t, d, put("/c", "x", 1)), []storage.Outcome{{}})
	equal(t, "delete by an old revision", w.commit(t, d, remove("/b", 1)), []storage.Outcome{{Current: 2}})
	equal(t, "delete", w.commit(t, d, remove("/b", 2)), []storage.Outcome{{Revision: 4, Current: 2}})
	equal(t, "delete what is not there", w.commit(t, d, remove("/b", 2), remove("/c", 0)), []storage.Outcome{{}, {}})
	equal(t, "create what was deleted", w.commit(t, d, put("/b", "4", 0)), []storage.Outcome{{Revision: 5}})

	state, err := d.State(t.Context())
	must(t, err)
	if state.Revision != 5 {
		t.Errorf("revision %d, want 5", state.Revision)
	}
	equal(t, "live records", load(t, d), []storage.Record{
		{Key: "/a", Value: []byte("3"), Created: 1, Modified: 3},
		{Key: "/b", Value: []byte("4"), Created: 5, Modified: 5},
	})
}

func testConflicts(t *testing.T, d storage.Driver) {
	w := newWriter("a")
	w.commit(t, d, put("/a", "1", 0), put("/b", "1", 0), put("/c", "1", 0))
	equal(t, "mixed batch", w.commit(t, d,
		put("/a", "2", 9),  // conflict
		put("/b", "2", 2),  // 4
		put("/d", "2", 0),  // 5
		remove("/c", 1),    // conflict
		put("/c2", "2", 7), // conflict
		put("/e", "2", 0),  // 6
	), []storage.Outcome{{Current: 1}, {Revision: 4, Current: 2}, {Revision: 5}, {Current: 3}, {}, {Revision: 6}})
	equal(t, "nothing but conflicts", w.commit(t, d, put("/a", "3", 0), remove("/b", 1)), []storage.Outcome{{Current: 1}, {Current: 4}})
	var revisions []int64
	for _, e := range history(t, d, storage.EventQuery{}) {
		revisions = append(revisions, e.Revision)
	}
	equal(t, "revisions", revisions, []int64{1, 2, 3, 4, 5, 6})
}

func testEmptyValue(t *testing.T, d storage.Driver) {
	w := newWriter("a")
	w.commit(t, d, storage.Write{Key: "/a", Value: []byte{}})
	w.commit(t, d, storage.Write{Key: "/a", Value: []byte{}, Expect: 1}, storage.Write{Key: "/b", Value: []byte{}})
	for _, r := range load(t, d) {
		if r.Value == nil {
			t.Errorf("record %s has no value", r.Key)
		}
	}
	for _, e := range history(t, d, storage.EventQuery{Previous: true}) {
		if e.Delete() {
			t.Errorf("event %d is a delete", e.Revision)
		}
	}
}

func testGet(t *testing.T, d storage.Driver) {
	w := newWriter("a")
	expires := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	w.commit(t, d, put("/a", "1", 0), storage.Write{Key: "/b", Value: []byte{}, Expires: expires})
	w.commit(t, d, put("/a", "2", 1))
	for key, want := range map[string]storage.Record{
		"/a": {Key: "/a", Value: []byte("2"), Created: 1, Modified: 3},
		"/b": {Key: "/b", Value: []byte{}, Created: 2, Modified: 2, Expires: expires},
		"/c": {},
	} {
		got, err := d.Get(t.Context(), key)
		must(t, err)
		if !got.Expires.Equal(want.Expires) {
			t.Errorf("%s expires %v, want %v", key, got.Expires, want.Expires)
		}
		got.Expires = want.Expires
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v, want %+v", key, got, want)
		}
	}
}

func testLargeValues(t *testing.T, d storage.Driver) {
	w := newWriter("a")
	var values []string
	for _, size := range []int{1, 2_000, 4_000, 8_000, 9_000, 100_000, 3 << 20} {
		values = append(values, strings.Repeat(fmt.Sprintf("%07d,", size), size/8+1)[:size])
	}
	for i, value := range values {
		w.commit(t, d, put(fmt.Sprint("/", i), value, 0))
	}
	for i, value := range values {
		w.commit(t, d, put(fmt.Sprint("/", i), value+"!", int64(i+1)))
	}
	for i, r := range load(t, d) {
		if string(r.Value) != values[i]+"!" {
			t.Errorf("value of %d bytes came back as one of %d", len(values[i])+1, len(r.Value))
		}
	}
	events := history(t, d, storage.EventQuery{Previous: true})
	for i, value := range values {
		if replaced := events[len(values)+i]; string(events[i].Record.Value) != value || string(replaced.Record.Value) != value+"!" ||
			string(replaced.Previous.Value) != value {
			t.Errorf("the history of a value of %d bytes is wrong", len(value))
		}
	}
}

func testIdempotence(t *testing.T, d storage.Driver) {
	w := newWriter("a")
	w.commit(t, d, put("/a", "1", 0))
	batch := w.batch(put("/a", "2", 1), put("/b", "1", 7), put("/c", "1", 0), remove("/d", 0))
	first, err := d.Commit(t.Context(), batch)
	must(t, err)
	equal(t, "outcomes", first, []storage.Outcome{{Revision: 2, Current: 1}, {}, {Revision: 3}, {}})
	newWriter("b").commit(t, d, put("/d", "1", 0))
	second, err := d.Commit(t.Context(), batch)
	must(t, err)
	equal(t, "outcomes the second time", second, first)
	if state, err := d.State(t.Context()); err != nil || state.Revision != 4 {
		t.Errorf("state %+v, %v, want revision 4", state, err)
	}

	conflict := w.batch(put("/a", "3", 1))
	equal(t, "a conflict", commit(t, d, conflict), []storage.Outcome{{Current: 2}})
	newWriter("b2").commit(t, d, remove("/a", 2))
	equal(t, "the same conflict the second time", commit(t, d, conflict), []storage.Outcome{{Current: 2}})
}

func testFence(t *testing.T, d storage.Driver) {
	w := newWriter("a")
	late := w.batch(put("/late", "1", 0))
	w.commit(t, d, put("/a", "1", 0))
	if _, err := d.Commit(t.Context(), late); !errors.Is(err, storage.ErrFenced) {
		t.Errorf("an older batch: %v, want %v", err, storage.ErrFenced)
	}
	equal(t, "another origin's sequence", newWriter("b").commit(t, d, put("/b", "1", 0)), []storage.Outcome{{Revision: 2}})
	equal(t, "live records", keys(load(t, d)), []string{"/a", "/b"})
}

func testEvents(t *testing.T, d storage.Driver) {
	w := newWriter("a")
	soon := time.UnixMicro(time.Now().Add(time.Hour).UnixMicro())
	w.commit(t, d, put("/a", "1", 0), storage.Write{Key: "/b", Value: []byte("1"), Expires: soon}) // 1, 2
	w.commit(t, d, put("/a", "2", 1))                                                              // 3
	w.commit(t, d, put("/b", "2", 2), remove("/a", 3))                                             // 4, 5
	w.commit(t, d, put("/a", "3", 0))                                                              // 6
	record := func(key, value string, created, modified int64) storage.Record {
		return storage.Record{Key: key, Value: []byte(value), Created: created, Modified: modified}
	}
	withTime := func(r storage.Record) storage.Record { r.Expires = soon; return r }
	gone := storage.Record{Key: "/a", Created: 1, Modified: 5}
	before := func(r storage.Record) *storage.Record { return &r }
	want := []storage.Event{
		{Revision: 1, Record: record("/a", "1", 1, 1)},
		{Revision: 2, Record: withTime(record("/b", "1", 2, 2))},
		{Revision: 3, Record: record("/a", "2", 1, 3), Previous: before(record("/a", "1", 1, 1))},
		{Revision: 4, Record: record("/b", "2", 2, 4), Previous: before(withTime(record("/b", "1", 2, 2)))},
		{Revision: 5, Record: gone, Previous: before(record("/a", "2", 1, 3))},
		{Revision: 6, Record: record("/a", "3", 6, 6)},
	}
	for after := range len(want) {
		for limit := 1; limit <= len(want)+1; limit++ {
			got, state, err := d.Events(t.Context(), storage.EventQuery{After: int64(after), Limit: limit, Previous: true})
			must(t, err)
			equal(t, fmt.Sprintf("events after %d, at most %d", after, limit), got, want[after:min(after+limit, len(want))])
			if state.Revision != 6 {
				t.Errorf("read at revision %d, want 6", state.Revision)
			}
		}
	}
	for i, e := range history(t, d, storage.EventQuery{}) {
		switch previous := e.Previous; {
		case (previous == nil) != (want[i].Previous == nil):
			t.Errorf("event %d has previous %v", e.Revision, previous)
		case previous != nil && (previous.Modified != want[i].Previous.Modified || previous.Value != nil):
			t.Errorf("event %d without previous values has %+v", e.Revision, previous)
		}
	}
	events, state, err := d.Events(t.Context(), storage.EventQuery{After: 6, Limit: 10})
	if err != nil || len(events) != 0 || state.Revision != 6 {
		t.Errorf("events at the end: %v, %+v, %v", events, state, err)
	}
}

func testEventPrefix(t *testing.T, d storage.Driver) {
	w := newWriter("a")
	w.commit(t, d, put("/a", "", 0), put("/a/", "", 0), put("/a/1", "", 0), put("/a0", "", 0), put("/b", "", 0), put("\xff\xff", "", 0), put("\xff", "", 0))
	for _, test := range []struct {
		prefix string
		want   []int64
	}{
		{"/a/", []int64{2, 3}},
		{"/a", []int64{1, 2, 3, 4}},
		{"/", []int64{1, 2, 3, 4, 5}},
		{"/c", nil},
		{"\xff", []int64{6, 7}},
		{"\xff\xff", []int64{6}},
		{"", []int64{1, 2, 3, 4, 5, 6, 7}},
	} {
		var got []int64
		for _, e := range history(t, d, storage.EventQuery{Prefix: test.prefix}) {
			got = append(got, e.Revision)
		}
		equal(t, fmt.Sprintf("prefix %q", test.prefix), got, test.want)
	}
}

func testKeyOrder(t *testing.T, d storage.Driver) {
	odd := []string{"/", "//", "/A", "/a", "/B", "/b", "/-", "/_", "/.", "/a-b", "/a/b", "/ab", "/é", "/z", "/\x00", "/a\x00b",
		"/\xff", "/\xc3", "/%", "/'", `/\`, `/"`, "/{}", "/null", "/NULL", "/a,b", "/ ", "/\n", "\xff\xfe", "é", "Z", "a"}
	var writes []storage.Write
	for i, key := range odd {
		writes = append(writes, put(key, fmt.Sprint(i), 0))
	}
	newWriter("a").commit(t, d, writes...)
	want := append([]string(nil), odd...)
	sort.Strings(want)
	equal(t, "keys in order", keys(load(t, d)), want)
	for i, e := range history(t, d, storage.EventQuery{}) {
		if e.Record.Key != odd[i] {
			t.Errorf("event %d is of key %q, want %q", e.Revision, e.Record.Key, odd[i])
		}
	}
}

func testCompaction(t *testing.T, d storage.Driver) {
	w := newWriter("a")
	w.commit(t, d, put("/a", "1", 0), put("/b", "1", 0)) // 1, 2
	w.commit(t, d, put("/a", "2", 1))                    // 3
	w.commit(t, d, put("/a", "3", 3), remove("/b", 2))   // 4, 5
	live := load(t, d)

	if n, err := d.Compact(t.Context(), time.Now().Add(-time.Hour), 100); err != nil || n != 0 {
		t.Errorf("compacting young history dropped %d, %v", n, err)
	}
	later := time.Now().Add(time.Hour)
	for compacted := int64(2); compacted <= 4; compacted += 2 {
		before := history(t, d, storage.EventQuery{After: compacted, Previous: true})
		n, err := d.Compact(t.Context(), later, 2)
		if err != nil || n != 2 {
			t.Fatalf("compacting two events dropped %d, %v", n, err)
		}
		equal(t, "events after the compaction", history(t, d, storage.EventQuery{After: compacted, Previous: true}), before)
		_, state, err := d.Events(t.Context(), storage.EventQuery{After: compacted - 1, Limit: 10})
		if !errors.Is(err, storage.ErrCompacted) || state.Compacted != compacted {
			t.Errorf("events after %d: %v, %+v, want %v", compacted-1, err, state, storage.ErrCompacted)
		}
	}
	n, err := d.Compact(t.Context(), later, 2)
	if err != nil || n != 1 {
		t.Errorf("compacting the rest dropped %d, %v", n, err)
	}
	if n, err := d.Compact(t.Context(), later, 2); err != nil || n != 0 {
		t.Errorf("compacting nothing dropped %d, %v", n, err)
	}
	state, err := d.State(t.Context())
	must(t, err)
	if state.Revision != 5 || state.Compacted != 5 {
		t.Errorf("state %+v, want revision and compacted 5", state)
	}
	equal(t, "live records", load(t, d), live)
	equal(t, "write after the compaction", w.commit(t, d, put("/a", "4", 4)), []storage.Outcome{{Revision: 6, Current: 4}})
	events := history(t, d, storage.EventQuery{After: 5, Previous: true})
	if len(events) != 1 || string(events[0].Record.Value) != "4" || string(events[0].Previous.Value) != "3" {
		t.Errorf("events after the compaction: %v", events)
	}
}

// testCompactionBesideCommits: whoever reads the events after what is dropped
// meanwhile gets every one of them, or ErrCompacted.
func testCompactionBesideCommits(t *testing.T, d storage.Driver) {
	const rounds = 300
	done := make(chan struct{})
	var compacting sync.WaitGroup
	compacting.Go(func() {
		for {
			if _, err := d.Compact(t.Context(), time.Now().Add(time.Hour), 7); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	w := newWriter("a")
	last := [4]int64{}
	for round := range rounds {
		var writes []storage.Write
		for i, expect := range last {
			writes = append(writes, put(fmt.Sprint("/", i), fmt.Sprint(round), expect))
		}
		for i, o := range w.commit(t, d, writes...) {
			last[i] = o.Revision
		}
		state, err := d.State(t.Context())
		must(t, err)
		events, state, err := d.Events(t.Context(), storage.EventQuery{After: state.Compacted, Limit: 1000})
		if errors.Is(err, storage.ErrCompacted) {
			continue
		}
		must(t, err)
		if n := int64(len(events)); n > 0 && events[n-1].Revision != state.Revision {
			t.Fatalf("read at revision %d, the last event is %d", state.Revision, events[n-1].Revision)
		}
	}
	close(done)
	compacting.Wait()
	if state, err := d.State(t.Context()); err != nil || state.Revision != rounds*int64(len(last)) {
		t.Errorf("state %+v, %v, want revision %d", state, err, rounds*len(last))
	}
}

func testExpiry(t *testing.T, d storage.Driver) {
	now := time.UnixMicro(time.Now().UnixMicro())
	at := func(key string, age time.Duration) storage.Write {
		return storage.Write{Key: key, Value: []byte("v"), Expires: now.Add(-age)}
	}
	w := newWriter("a")
	w.commit(t, d, at("/1", time.Second), at("/3", 3*time.Second), put("/never", "v", 0), at("/future", -time.Second), at("/2", 2*time.Second))

	expired := func(limit int) []string {
		t.Helper()
		records, err := d.Expired(t.Context(), now, limit)
		must(t, err)
		for _, r := range records {
			if r.Modified == 0 || r.Expires.IsZero() || r.Value != nil {
				t.Errorf("expired record %+v", r)
			}
		}
		return keys(records)
	}
	equal(t, "expired", expired(10), []string{"/3", "/2", "/1"})
	equal(t, "expired, at most two", expired(2), []string{"/3", "/2"})
	equal(t, "create over an expired key", w.commit(t, d, put("/1", "x", 0)), []storage.Outcome{{Current: 1}})
	equal(t, "prolong, make eternal, delete", w.commit(t, d,
		storage.Write{Key: "/1", Value: []byte("v"), Expect: 1, Expires: now.Add(time.Hour)}, put("/2", "v", 5), remove("/3", 2),
	), []storage.Outcome{{Revision: 6, Current: 1}, {Revision: 7, Current: 5}, {Revision: 8, Current: 2}})
	equal(t, "expired afterwards", expired(10), []string(nil))
	for _, r := range load(t, d) {
		want := map[string]time.Time{"/1": now.Add(time.Hour), "/future": now.Add(time.Second)}[r.Key]
		if !r.Expires.Equal(want) {
			t.Errorf("%s expires %v, want %v", r.Key, r.Expires, want)
		}
	}
}

func testLoadSnapshot(t *testing.T, d storage.Driver) {
	const records = 5000
	w := newWriter("a")
	for i := 0; i < records; i += 500 {
		var writes []storage.Write
		for j := range 500 {
			writes = append(writes, put(fmt.Sprintf("/%05d", i+j), "old", 0))
		}
		w.commit(t, d, writes...)
	}
	n := 0
	state, err := d.Load(t.Context(), func(r storage.Record) error {
		if n == 0 {
			w.commit(t, d, put("/04999", "new", records), remove("/04998", records-1), put("/zzz", "new", 0))
		}
		n++
		if string(r.Value) != "old" {
			return fmt.Errorf("%s is %q", r.Key, r.Value)
		}
		return nil
	})
	must(t, err)
	if n != records || state.Revision != records {
		t.Errorf("loaded %d records at revision %d, want %d", n, state.Revision, records)
	}
}

func testLoadStops(t *testing.T, d storage.Driver) {
	newWriter("a").commit(t, d, put("/a", "", 0), put("/b", "", 0))
	enough := errors.New("enough")
	n := 0
	if _, err := d.Load(t.Context(), func(storage.Record) error { n++; return enough }); !errors.Is(err, enough) || n != 1 {
		t.Errorf("load went on to %d records and returned %v", n, err)
	}
	if got := len(load(t, d)); got != 2 {
		t.Errorf("loaded %d records afterwards", got)
	}
}

func testSize(t *testing.T, d storage.Driver) {
	before, err := d.Size(t.Context())
	must(t, err)
	newWriter("a").commit(t, d, put("/a", strings.Repeat("x", 1<<20), 0))
	after, err := d.Size(t.Context())
	must(t, err)
	if before <= 0 || after < before+1<<20 {
		t.Errorf("size was %d and after a megabyte is %d", before, after)
	}
}

func testClose(t *testing.T, d storage.Driver) {
	newWriter("a").commit(t, d, put("/a", "", 0))
	listening := make(chan struct{})
	go func() { d.Listen(context.WithoutCancel(t.Context()), func() {}); close(listening) }()
	must(t, d.Close())
	<-listening
	must(t, d.Close())
	if _, err := d.State(t.Context()); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("state after close: %v", err)
	}
	if _, err := d.Commit(t.Context(), newWriter("b").batch(put("/b", "", 0))); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("commit after close: %v", err)
	}
}

func testCancelled(t *testing.T, d storage.Driver) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, stateErr := d.State(ctx)
	_, commitErr := d.Commit(ctx, newWriter("a").batch(put("/a", "", 0)))
	_, loadErr := d.Load(ctx, func(storage.Record) error { return nil })
	_, _, eventsErr := d.Events(ctx, storage.EventQuery{Limit: 1})
	for _, err := range []error{stateErr, commitErr, loadErr, eventsErr} {
		if !errors.Is(err, context.Canceled) || errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("a cancelled call returned %v", err)
		}
	}
	equal(t, "commit afterwards", newWriter("b").commit(t, d, put("/a", "", 0)), []storage.Outcome{{Revision: 1}})
}

func testListenEnds(t *testing.T, d storage.Driver) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { d.Listen(ctx, func() {}); close(done) }()
	cancel()
	<-done
}

func testReopen(t *testing.T, open func() storage.Driver) {
	d := open()
	newWriter("a").commit(t, d, put("/a", "1", 0), put("/b", "1", 0))
	batch := newWriter("b").batch(put("/a", "2", 1))
	first := commit(t, d, batch)
	state, err := d.State(t.Context())
	must(t, err)
	records := load(t, d)
	must(t, d.Close())

	d = open()
	again, err := d.State(t.Context())
	must(t, err)
	if again != state {
		t.Errorf("state was %+v and after opening again is %+v", state, again)
	}
	equal(t, "records", load(t, d), records)
	equal(t, "the same batch", commit(t, d, batch), first)
}

func testServers(t *testing.T, open func() storage.Driver) {
	const servers, rounds, perBatch = 4, 50, 5
	var running sync.WaitGroup
	var mutex sync.Mutex
	owners := map[int64]string{} // by revision
	for s := range servers {
		d := open()
		running.Go(func() {
			w := newWriter(fmt.Sprint("server-", s))
			for round := range rounds {
				var writes []storage.Write
				for i := range perBatch {
					writes = append(writes, put(fmt.Sprintf("/%s/%d/%d", w.origin, round, i), "v", 0))
				}
				// One key that all fight for.
				writes = append(writes, put(fmt.Sprint("/shared/", round), w.origin, 0))
				before, err := d.State(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				outcomes, err := d.Commit(t.Context(), w.batch(writes...))
				if err != nil {
					t.Error(err)
					return
				}
				after, err := d.State(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				mutex.Lock()
				for i, o := range outcomes {
					switch {
					case o.Revision == 0 && i < perBatch:
						t.Errorf("own key %s conflicts with %d", writes[i].Key, o.Current)
					case o.Revision == 0 && o.Current == 0:
						t.Errorf("shared key %s neither created nor there", writes[i].Key)
					case o.Revision != 0:
						if o.Revision <= before.Revision || o.Revision > after.Revision {
							t.Errorf("revision %d is not between the states %d before and %d after", o.Revision, before.Revision, after.Revision)
						}
						if other, taken := owners[o.Revision]; taken {
							t.Errorf("revision %d was given to %s and %s", o.Revision, other, writes[i].Key)
						}
						owners[o.Revision] = writes[i].Key
					}
				}
				mutex.Unlock()
			}
		})
	}
	running.Wait()
	want := int64(servers*rounds*perBatch + rounds)
	events := history(t, open(), storage.EventQuery{})
	if int64(len(events)) != want {
		t.Errorf("%d events, want %d", len(events), want)
	}
	for i, e := range events {
		if e.Revision != int64(i+1) || owners[e.Revision] != e.Record.Key {
			t.Fatalf("event %d is revision %d of %s, acknowledged to %s", i+1, e.Revision, e.Record.Key, owners[e.Revision])
		}
	}
}

func testIdempotenceAcross(t *testing.T, open func() storage.Driver) {
	batch := newWriter("a").batch(put("/a", "1", 0), put("/b", "1", 3))
	const tries = 8
	var running sync.WaitGroup
	all := make([][]storage.Outcome, tries)
	for i := range tries {
		d := open()
		running.Go(func() {
			var err error
			if all[i], err = d.Commit(t.Context(), batch); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	for _, outcomes := range all {
		equal(t, "outcomes", outcomes, []storage.Outcome{{Revision: 1}, {}})
	}
}

// wakeLimit is generous for a busy machine; the log tells the real time.
const wakeLimit = 5 * time.Second

func testWake(t *testing.T, open func() storage.Driver) {
	here, there := open(), open()
	ctx, cancel := context.WithCancel(t.Context())
	wakes := make(chan struct{}, 1)
	var listening sync.WaitGroup
	listening.Go(func() {
		there.Listen(ctx, func() {
			select {
			case wakes <- struct{}{}:
			default:
			}
		})
	})
	await(t, wakes, "connecting")
	w := newWriter("here")
	var slowest time.Duration
	for i := range 20 {
		begin := time.Now()
		w.commit(t, here, put(fmt.Sprint("/", i), "v", 0))
		await(t, wakes, "a commit")
		slowest = max(slowest, time.Since(begin))
	}
	t.Logf("the slowest of 20 commits woke the other server %v after it began", slowest)
	cancel()
	listening.Wait()
}

func await(t *testing.T, wakes <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-wakes:
	case <-time.After(wakeLimit):
		t.Fatalf("%s didn't wake the listener within %v", what, wakeLimit)
	}
}

func testOpenTogether(t *testing.T, open func() storage.Driver) {
	var running sync.WaitGroup
	var mutex sync.Mutex
	epochs := map[string]int{}
	for range 6 {
		running.Go(func() {
			d := open()
			state, err := d.State(t.Context())
			if err != nil {
				t.Error(err)
			}
			mutex.Lock()
			epochs[state.Epoch]++
			mutex.Unlock()
		})
	}
	running.Wait()
	if len(epochs) != 1 {
		t.Errorf("servers that start together see the epochs %v", epochs)
	}
}

// A writer numbers the batches of one origin.
type writer struct {
	origin   string
	sequence int64
}

func newWriter(origin string) *writer { return &writer{origin: origin} }

func (w *writer) batch(writes ...storage.Write) storage.Batch {
	w.sequence++
	return storage.Batch{ID: storage.BatchID{Origin: w.origin, Sequence: w.sequence}, Writes: writes}
}

func (w *writer) commit(t testing.TB, d storage.Driver, writes ...storage.Write) []storage.Outcome {
	t.Helper()
	return commit(t, d, w.batch(writes...))
}

func commit(t testing.TB, d storage.Driver, batch storage.Batch) []storage.Outcome {
	t.Helper()
	outcomes, err := d.Commit(t.Context(), batch)
	must(t, err)
	if len(outcomes) != len(batch.Writes) {
		t.Fatalf("%d outcomes of %d writes", len(outcomes), len(batch.Writes))
	}
	return outcomes
}

func put(key, value string, expect int64) storage.Write {
	return storage.Write{Key: key, Value: append([]byte{}, value...), Expect: expect}
}

func remove(key string, expect int64) storage.Write {
	return storage.Write{Key: key, Expect: expect}
}

func load(t testing.TB, d storage.Driver) (records []storage.Record) {
	t.Helper()
	_, err := d.Load(t.Context(), func(r storage.Record) error { records = append(records, r); return nil })
	must(t, err)
	return records
}

func history(t testing.TB, d storage.Driver, query storage.EventQuery) []storage.Event {
	t.Helper()
	query.Limit = 1 << 20
	events, _, err := d.Events(t.Context(), query)
	must(t, err)
	return events
}

func keys(records []storage.Record) (keys []string) {
	for _, r := range records {
		keys = append(keys, r.Key)
	}
	return keys
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// equal compares what fmt shows, in which times of one instant are equal and
// pointers are followed one level.
func equal[T any](t testing.TB, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %d, want %d:\n%+v\n%+v", what, len(got), len(want), got, want)
		return
	}
	for i := range got {
		if g, w := show(got[i]), show(want[i]); g != w {
			t.Errorf("%s, number %d:\n got %s\nwant %s", what, i, g, w)
		}
	}
}

func show(v any) string {
	record := func(r storage.Record) string {
		deleted := r.Value == nil
		return fmt.Sprintf("{%q=%q deleted=%v %d/%d until %d}", r.Key, r.Value, deleted, r.Created, r.Modified, r.Expires.UnixMicro())
	}
	switch v := v.(type) {
	case storage.Record:
		return record(v)
	case storage.Event:
		if v.Previous == nil {
			return fmt.Sprintf("%d %s", v.Revision, record(v.Record))
		}
		return fmt.Sprintf("%d %s was %s", v.Revision, record(v.Record), record(*v.Previous))
	default:
		return fmt.Sprintf("%+v", v)
	}
}
