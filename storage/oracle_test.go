package storage

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// An oracle knows every state of the store's life the naive way.
type oracle struct {
	states []map[string]*Object // by revision
}

func (o *oracle) write(key, value string, revision int64) {
	next := maps.Clone(o.states[len(o.states)-1])
	if value == "" {
		delete(next, key)
	} else {
		next[key] = describeRecord(describeText, Record{Key: key, Value: []byte(value), Modified: revision})
	}
	o.states = append(o.states, next)
}

func (o *oracle) scan(revision int64, prefix, after string, sel Selection, limit int) (keys []string) {
	for _, key := range slices.Sorted(maps.Keys(o.states[revision])) {
		if strings.HasPrefix(key, prefix) && key > after && sel.Matches(o.states[revision][key]) && len(keys) < limit {
			keys = append(keys, fmt.Sprintf("%s@%d", key, o.states[revision][key].Revision))
		}
	}
	return keys
}

// randomly writes n times; the values have labels that many, few and single
// objects have.
func (o *oracle) randomly(t testing.TB, r *rand.Rand, n int, stores ...*Store) {
	for range n {
		s := stores[r.IntN(len(stores))]
		key := fmt.Sprintf("%sns%d/n%02d", things, r.IntN(4), r.IntN(25))
		current := o.states[len(o.states)-1][key]
		value, expect := "", int64(0)
		if current != nil {
			expect = current.Revision
		}
		if current == nil || r.IntN(4) > 0 {
			value = fmt.Sprintf("app=%d rare=%d single=%s f.node=n%d", r.IntN(3), r.IntN(30), key[len(things):], r.IntN(6))
			if r.IntN(5) == 0 {
				value = "bare=1"
			}
		}
		revision := mustWrite(t, s, key, value, expect)
		if revision != int64(len(o.states)) {
			t.Fatalf("revision %d after %d writes", revision, len(o.states)-1)
		}
		o.write(key, value, revision)
	}
}

func randomSelection(t testing.TB, r *rand.Rand) Selection {
	choose := func(all ...string) string { return all[r.IntN(len(all))] }
	label := choose("", "", "app=1", "app in (0,2)", "app!=1", "rare=7", "rare in (1,2,3),app=1", "single", "!app",
		"bare=1", "app=nope", "app=1,rare=3", "app notin (1)", fmt.Sprintf("rare=%d", r.IntN(30)))
	field := choose("", "", "f.node=n1", "f.node!=n1", "f.node=", "metadata.name=n03", "metadata.namespace=ns2",
		"metadata.name=n04,metadata.namespace=ns1", "f.node=n2,metadata.namespace=ns0", "metadata.namespace=nope", "metadata.name=nope")
	return mustSelect(t, label, field)
}

func oracleDrivers(t *testing.T, same bool) []Driver {
	db := newDatabase()
	drivers := []Driver{&memoryDriver{db: db}}
	if !same {
		drivers = append(drivers, &memoryDriver{db: db})
	}
	return drivers
}

func TestOracle(t *testing.T) {
	for _, mode := range []string{"one server", "two servers", "little memory"} {
		t.Run(mode, func(t *testing.T) {
			var stores []*Store
			var collections []*Collection
			for _, d := range oracleDrivers(t, mode == "one server") {
				s, c := started(t, d, func(o *Options) {
					if mode == "little memory" {
						o.RecentBytes = 10_000
					}
				})
				stores, collections = append(stores, s), append(collections, c)
			}
			checkOracle(t, rand.New(rand.NewPCG(1, 2)), stores, collections)
		})
	}
}

// checkOracle writes at random through the stores and checks snapshots, scans
// and watches against the oracle.
func checkOracle(t *testing.T, r *rand.Rand, stores []*Store, collections []*Collection) {
	const writes = 600
	o := &oracle{states: []map[string]*Object{{}}}
	type watching struct {
		after     int64
		prefix    string
		selection Selection
		watcher   *Watcher
	}
	var watchers []watching
	type held struct {
		snapshot *Snapshot
		want     []string
	}
	var snapshots []held
	all := Selection{}
	ctx := t.Context()
	for len(o.states) <= writes {
		o.randomly(t, r, 10, stores...)
		now := int64(len(o.states) - 1)
		c := collections[r.IntN(len(collections))]
		if revision, err := c.store.Sync(ctx); err != nil || revision != now {
			t.Fatalf("sync: %d, %v; want %d", revision, err, now)
		}
		s := c.Snapshot()
		if s != c.Snapshot() || s.Revision != now {
			t.Fatal("two snapshots of one revision")
		}
		snapshots = append(snapshots, held{s, o.scan(now, things, "", all, 1e9)})

		for range 10 {
			revision, snapshot := now, s
			if r.IntN(2) == 0 {
				revision = r.Int64N(now) + 1
				var err error
				if snapshot, err = c.At(ctx, revision); err != nil || snapshot.Revision != revision {
					t.Fatalf("at %d: %v", revision, err)
				}
			}
			prefix, after, selection := things, "", randomSelection(t, r)
			if r.IntN(2) == 0 {
				prefix += fmt.Sprintf("ns%d/", r.IntN(5))
			}
			if r.IntN(2) == 0 {
				after = fmt.Sprintf("%sns%d/n%02d", things, r.IntN(4), r.IntN(25))
			}
			limit := 1 + r.IntN(100)
			var got []string
			snapshot.Scan(prefix, after, selection, func(o *Object) bool {
				got = append(got, fmt.Sprintf("%s@%d", o.Key, o.Revision))
				return len(got) < limit
			})
			want := o.scan(revision, prefix, after, selection, limit)
			if !slices.Equal(got, want) {
				t.Fatalf("at %d of %d, prefix %q after %q labels %q fields %q limit %d:\ngot  %v\nwant %v",
					revision, now, prefix, after, selection.Labels, selection.Fields, limit, got, want)
			}
			if n := snapshot.Len(prefix); n != len(o.scan(revision, prefix, "", all, 1e9)) {
				t.Fatalf("%d objects with prefix %q", n, prefix)
			}
			if n := snapshot.Rest(prefix, after); n != len(o.scan(revision, prefix, after, all, 1e9)) {
				t.Fatalf("%d objects with prefix %q after %q", n, prefix, after)
			}
		}

		w := watching{after: r.Int64N(now + 1), prefix: things, selection: randomSelection(t, r)}
		options := WatchOptions{After: w.after, Selection: w.selection}
		switch r.IntN(3) {
		case 0:
			w.prefix = fmt.Sprintf("%sns%d/", things, r.IntN(4))
			options.Prefix = w.prefix
		case 1:
			w.prefix = fmt.Sprintf("%sns%d/n%02d", things, r.IntN(4), r.IntN(25))
			options.Key = w.prefix
		}
		var err error
		if w.watcher, err = c.Watch(ctx, options); err != nil {
			t.Fatal(err)
		}
		defer w.watcher.Stop()
		watchers = append(watchers, w)
	}

	for _, h := range snapshots {
		var got []string
		h.snapshot.Scan("", "", all, func(o *Object) bool {
			got = append(got, fmt.Sprintf("%s@%d", o.Key, o.Revision))
			return true
		})
		if !slices.Equal(got, h.want) {
			t.Fatalf("the snapshot of revision %d changed", h.snapshot.Revision)
		}
	}
	now := int64(len(o.states) - 1)
	for _, s := range stores {
		if err := s.Wait(ctx, now); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range watchers {
		state := map[string]int64{}
		for key, object := range o.states[w.after] {
			if strings.HasPrefix(key, w.prefix) && w.selection.Matches(object) {
				state[key] = object.Revision
			}
		}
		last := w.after
		for w.watcher.Progress() < now {
			deliveries, err := w.watcher.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range deliveries {
				key, revision := d.Object.Key, d.Change.Revision
				_, had := state[key]
				if had != (d.Type != Added) || revision <= last {
					t.Fatalf("%s of %s at %d after %d; had it: %v", d.Type, key, revision, last, had)
				}
				last = revision
				if d.Type == Deleted {
					delete(state, key)
				} else {
					state[key] = d.Object.Revision
				}
				// The state after each delivery is the one of its revision.
				var want int
				for key, object := range o.states[revision] {
					if strings.HasPrefix(key, w.prefix) && w.selection.Matches(object) {
						if want++; state[key] != object.Revision {
							t.Fatalf("at %d: %s has revision %d, want %d", revision, key, state[key], object.Revision)
						}
					}
				}
				if want != len(state) {
					t.Fatalf("at %d: %d objects, want %d", revision, len(state), want)
				}
			}
		}
	}
}

// Readers at the same time as writers: every snapshot is one that existed, and
// watchers see every revision once.
func TestOracleConcurrent(t *testing.T) {
	db := newDatabase()
	one, inOne := started(t, &memoryDriver{db: db})
	two, inTwo := started(t, &memoryDriver{db: db})
	const writers, writes = 8, 100
	var working, reading sync.WaitGroup
	for i := range writers {
		working.Go(func() {
			s := []*Store{one, two}[i%2]
			expect := int64(0)
			for n := range writes {
				expect = mustWrite(t, s, fmt.Sprintf("%sns/%d", things, i), fmt.Sprintf("n=%d", n), expect)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	for _, c := range []*Collection{inOne, inTwo} {
		reading.Go(func() {
			for ctx.Err() == nil {
				s := c.Snapshot()
				newest := int64(0)
				s.Scan("", "", Selection{}, func(o *Object) bool {
					newest = max(newest, o.Revision)
					return true
				})
				if newest != s.Revision {
					t.Errorf("a snapshot of revision %d has %d at most", s.Revision, newest)
					return
				}
				if past := max(1, s.Revision-20); s.Revision > 0 {
					if at, err := c.At(ctx, past); err != nil && ctx.Err() == nil || err == nil && at.Revision != past {
						t.Errorf("at %d: %v", past, err)
					}
				}
			}
		})
		reading.Go(func() {
			w, err := c.Watch(t.Context(), WatchOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Stop()
			for last := int64(0); last < writers*writes; {
				deliveries, err := w.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				for _, d := range deliveries {
					if d.Change.Revision != last+1 {
						t.Errorf("revision %d after %d", d.Change.Revision, last)
						return
					}
					last++
				}
			}
		})
	}
	working.Wait()
	cancel()
	reading.Wait()
}
