package storage

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestOwnCommitsNeedNoRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		d.db.mute = true // as a driver that knows its own notifications
		s, _ := started(t, d)
		synctest.Wait()
		_, before := d.counts()
		for i := range 100 {
			mustWrite(t, s, fmt.Sprint(things, "a/", i), "x", 0)
		}
		if _, after := d.counts(); after != before {
			t.Errorf("%d reads of history for 100 own writes", after-before)
		}
	})
}

func TestTwoServers(t *testing.T) {
	for _, mute := range []bool{false, true} {
		t.Run(fmt.Sprintf("mute=%v", mute), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := newDatabase()
				db.mute = mute
				one, inOne := started(t, &memoryDriver{db: db})
				two, inTwo := started(t, &memoryDriver{db: db})
				for i := range 50 {
					key := fmt.Sprint(things, "a/", i)
					revision := mustWrite(t, one, key, "one", 0)
					if _, err := two.Sync(t.Context()); err != nil {
						t.Fatal(err)
					}
					if o, _ := inTwo.Get(key); o == nil || o.Revision != revision {
						t.Fatalf("after a sync, two has %+v", o)
					}
					// A gap for one, which has not seen two's write when it writes again.
					mustWrite(t, two, key, "two", revision)
				}
				if mute {
					time.Sleep(2 * quiet)
				}
				synctest.Wait()
				time.Sleep(2 * grace)
				if one.Revision() != 100 || two.Revision() != 100 {
					t.Fatalf("revisions %d and %d", one.Revision(), two.Revision())
				}
				same(t, inOne.Snapshot(), inTwo.Snapshot())
			})
		})
	}
}

// same compares two snapshots.
func same(t *testing.T, a, b *Snapshot) {
	t.Helper()
	if x, y := dump(a), dump(b); fmt.Sprint(x) != fmt.Sprint(y) {
		t.Fatalf("at %d:\n%v\nat %d:\n%v", a.Revision, x, b.Revision, y)
	}
}

func dump(s *Snapshot) (lines []string) {
	s.Scan("", "", Selection{}, func(o *Object) bool {
		lines = append(lines, fmt.Sprintf("%s=%s created %d modified %d", o.Key, o.Value(), o.Created, o.Revision))
		return true
	})
	return lines
}

func TestConflictWithAnotherServerBringsItsObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDatabase()
		db.mute = true
		one, _ := started(t, &memoryDriver{db: db})
		two, inTwo := started(t, &memoryDriver{db: db})
		synctest.Wait()
		revision := mustWrite(t, one, things+"a/x", "one", 0)
		_, err := two.Write(t.Context(), Write{Key: things + "a/x", Value: []byte("two")})
		var conflict *ConflictError
		if !errors.As(err, &conflict) || conflict.Current != revision {
			t.Fatalf("got %v", err)
		}
		if o, _ := inTwo.Get(things + "a/x"); text(o) != "one" {
			t.Errorf("two has %q after the conflict", text(o))
		}
		mustWrite(t, one, things+"a/x", "", revision)
		_, err = two.Write(t.Context(), Write{Key: things + "a/x", Value: []byte("two"), Expect: revision})
		if !errors.As(err, &conflict) || conflict.Current != 0 {
			t.Fatalf("got %v", err)
		}
		if o, _ := inTwo.Get(things + "a/x"); o != nil {
			t.Error("two still has what was deleted")
		}
	})
}

// A replica that lacks the last commits becomes the database.
func TestLostCommits(t *testing.T) {
	for name, lose := range map[string]func(*memoryDatabase){
		"another epoch, lower": func(db *memoryDatabase) { db.state.Epoch = "second" },
		"another epoch, higher": func(db *memoryDatabase) {
			db.state.Epoch = "second"
			for i := range 5 {
				record := Record{Key: fmt.Sprint(things, "b/", i), Value: []byte("new"), Created: db.state.Revision + 1, Modified: db.state.Revision + 1}
				db.state.Revision++
				db.live[record.Key] = record
				db.log = append(db.log, Event{Revision: db.state.Revision, Record: record})
				db.times = append(db.times, time.Now())
			}
		},
		"no sign but the revision": func(*memoryDatabase) {},
	} {
		for _, how := range []string{"sync", "write", "quiet"} {
			t.Run(name+", found by "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newMemoryDriver()
					s, c := started(t, d)
					for i := range 3 {
						mustWrite(t, s, fmt.Sprint(things, "a/", i), "x", 0)
					}
					synctest.Wait()
					time.Sleep(time.Second)
					w, err := c.Watch(t.Context(), WatchOptions{After: s.Revision()})
					if err != nil {
						t.Fatal(err)
					}
					defer w.Stop()
					d.db.mu.Lock()
					d.db.state.Revision = 1
					delete(d.db.live, things+"a/1")
					delete(d.db.live, things+"a/2")
					d.db.log, d.db.times = d.db.log[:1], d.db.times[:1]
					lose(d.db)
					d.db.mu.Unlock()
					switch how {
					case "sync":
						if _, err := s.Sync(t.Context()); !errors.Is(err, ErrUnavailable) {
							t.Errorf("sync: %v", err)
						}
					case "write":
						if _, err := s.Write(t.Context(), Write{Key: things + "c/new", Value: []byte("x")}); err != nil && !errors.Is(err, ErrUnknownOutcome) {
							t.Errorf("write: %v", err)
						}
					case "quiet":
						time.Sleep(quiet)
					}
					time.Sleep(quiet)
					synctest.Wait()
					if err := s.Ready(); err != nil {
						t.Error(err)
					}
					if _, err := w.Next(t.Context()); !errors.Is(err, ErrNewEpoch) {
						t.Errorf("the watcher ended with %v", err)
					}
					fresh, inFresh := started(t, &memoryDriver{db: d.db})
					if fresh.Revision() != s.Revision() {
						t.Errorf("revision %d, a fresh store's %d", s.Revision(), fresh.Revision())
					}
					same(t, c.Snapshot(), inFresh.Snapshot())
				})
			})
		}
	}
}

func TestLongOutageLoadsEverythingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDatabase()
		cut := &memoryDriver{db: db}
		s, c := started(t, cut)
		synctest.Wait()
		w, err := c.Watch(t.Context(), WatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		cut.set(func() { cut.beforeEvents = func(EventQuery) error { return ErrUnavailable } })
		other, inOther := started(t, &memoryDriver{db: db})
		revision := mustWrite(t, other, things+"a/x", "one", 0)
		mustWrite(t, other, things+"a/x", "two", revision)
		time.Sleep(time.Minute)
		if s.Ready() == nil {
			t.Error("ready without a database")
		}
		if _, err := cut.Compact(t.Context(), time.Now(), 1); err != nil {
			t.Fatal(err)
		}
		cut.set(func() { cut.beforeEvents = nil })
		time.Sleep(time.Minute)
		same(t, c.Snapshot(), inOther.Snapshot())
		if _, err := w.Next(t.Context()); !errors.Is(err, ErrCompacted) {
			t.Errorf("the watcher ended with %v", err)
		}
		if err := s.Ready(); err != nil {
			t.Error(err)
		}
	})
}

func TestUnreadableObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, c := started(t, d)
		revision := mustWrite(t, s, things+"a/x", "broken color=red", 0)
		mustWrite(t, s, things+"a/y", "color=blue", 0)
		fresh, inFresh := started(t, &memoryDriver{db: d.db})
		for _, c := range []*Collection{c, inFresh} {
			o, _ := c.Get(things + "a/x")
			if o == nil || o.Err == nil || string(o.Value()) != "broken color=red" {
				t.Fatalf("got %+v", o)
			}
			if got := scan(c.Snapshot(), things, "", mustSelect(t, "color=blue", "")); fmt.Sprint(got) != "[a/x a/y]" {
				t.Errorf("scan: %v", got)
			}
		}
		mustWrite(t, fresh, things+"a/x", "color=red", revision)
		if got := scan(inFresh.Snapshot(), things, "", mustSelect(t, "color=red", "")); fmt.Sprint(got) != "[a/x]" {
			t.Errorf("scan: %v", got)
		}
	})
}

func TestRegisterAtRunTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := started(t, newMemoryDriver())
		const widgets = "/registry/example.com/widgets/"
		first := mustWrite(t, s, widgets+"a/x", "color=red", 0)
		second := mustWrite(t, s, widgets+"a/x", "color=blue", first)
		gone := mustWrite(t, s, widgets+"a/y", "color=blue", 0)
		mustWrite(t, s, widgets+"a/y", "", gone)
		c := s.Register(widgets, describeText)
		if again := s.Register(widgets, nil); again != c {
			t.Error("registered twice")
		}
		o, _ := c.Get(widgets + "a/x")
		if text(o) != "color=blue" || o.Created != first || o.Revision != second {
			t.Fatalf("got %+v", o)
		}
		if n := c.Snapshot().Len(""); n != 1 {
			t.Errorf("%d objects", n)
		}
		// What happened before is in the database's history only.
		w, err := c.Watch(t.Context(), WatchOptions{After: first})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		mustWrite(t, s, widgets+"a/z", "color=red", 0)
		if got := receive(t, w, 4); fmt.Sprint(got) != "[MODIFIED a/x@2 ADDED a/y@3 DELETED a/y@4 ADDED a/z@5]" {
			t.Errorf("got %v", got)
		}
	})
}
