package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestSelectionTransitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := started(t, newMemoryDriver())
		for _, selection := range []Selection{mustSelect(t, "color=red", ""), mustSelect(t, "", "f.node=a")} {
			w, err := c.Watch(t.Context(), WatchOptions{After: s.Revision(), Selection: selection})
			if err != nil {
				t.Fatal(err)
			}
			revision, base := int64(0), s.Revision()
			for _, value := range []string{
				"color=blue f.node=b", "color=red f.node=a", "color=red f.node=a more=1", "color=blue f.node=b", "color=red f.node=a", "",
			} {
				revision = mustWrite(t, s, things+"a/x", value, revision)
			}
			synctest.Wait()
			var got []string
			deliveries, err := w.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range deliveries {
				got = append(got, fmt.Sprint(d.Type, " ", d.Change.Revision-base, " ", d.Object.Revision-base))
			}
			// A deletion carries the last version that matched.
			if want := "[ADDED 2 2 MODIFIED 3 3 DELETED 4 3 ADDED 5 5 DELETED 6 5]"; fmt.Sprint(got) != want {
				t.Errorf("got  %v\nwant %v", got, want)
			}
			w.Stop()
			w.Stop()
			if _, err := w.Next(t.Context()); !errors.Is(err, ErrClosed) {
				t.Errorf("next of a stopped watch: %v", err)
			}
		}
		if n, _ := s.hub.sizes(); n != 0 || len(c.watchers) != 0 {
			t.Errorf("%d watchers left in %d buckets", n, len(c.watchers))
		}
	})
}

func TestSlowWatcher(t *testing.T) {
	for name, limit := range map[string]func(*Options){
		"count": func(o *Options) { o.WatcherDeliveries = 5 },
		"bytes": func(o *Options) { o.WatcherBytes = 5 * (overhead + 40) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := started(t, newMemoryDriver(), limit)
				slow, err := c.Watch(t.Context(), WatchOptions{})
				if err != nil {
					t.Fatal(err)
				}
				quick, err := c.Watch(t.Context(), WatchOptions{})
				if err != nil {
					t.Fatal(err)
				}
				defer quick.Stop()
				for i := range 10 {
					mustWrite(t, s, fmt.Sprint(things, "a/", i), "x", 0)
					receive(t, quick, 1)
				}
				<-slow.Ready()
				if _, err := slow.Next(t.Context()); !errors.Is(err, ErrSlowWatcher) {
					t.Errorf("the slow watcher ended with %v", err)
				}
				slow.Stop()
				if n, _ := s.hub.sizes(); n != 1 {
					t.Errorf("%d watchers", n)
				}
			})
		})
	}
}

// Ready fires exactly when there is something, so that a select with other
// channels never waits in Next.
func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := started(t, newMemoryDriver())
		mustWrite(t, s, things+"a/0", "x", 0)
		w, err := c.Watch(t.Context(), WatchOptions{After: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		idle := func() {
			t.Helper()
			synctest.Wait()
			select {
			case <-w.Ready():
				t.Fatal("ready without a delivery")
			default:
			}
		}
		idle()
		for i := range 3 {
			mustWrite(t, s, fmt.Sprint(things, "b/", i), "x", 0)
		}
		synctest.Wait()
		if w.Progress() != 1 {
			t.Errorf("progress %d before anything was taken", w.Progress())
		}
		if got := receive(t, w, 3); len(got) != 3 {
			t.Errorf("got %v", got)
		}
		if w.Progress() != 4 {
			t.Errorf("progress %d", w.Progress())
		}
		idle()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestProgressWithoutMatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := started(t, newMemoryDriver())
		w, err := c.Watch(t.Context(), WatchOptions{Key: things + "a/other"})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		mustWrite(t, s, things+"a/x", "x", 0)
		mustWrite(t, s, "/somewhere/else", "x", 0)
		synctest.Wait()
		if w.Progress() != 2 {
			t.Errorf("progress %d", w.Progress())
		}
	})
}

func TestWatchFromHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, c := started(t, d, func(o *Options) { o.RecentBytes = 1 })
		revision := int64(0)
		const writes = 2*historyPage + 10
		for i := range writes {
			revision = mustWrite(t, s, things+"a/x", fmt.Sprint("n=", i), revision)
		}
		// A page of history with nothing in it for the watcher must not end it.
		w, err := c.Watch(t.Context(), WatchOptions{Selection: mustSelect(t, fmt.Sprintf("n in (0,%d)", writes-1), "")})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		want := fmt.Sprintf("[ADDED a/x@1 DELETED a/x@2 ADDED a/x@%d]", writes)
		if got := receive(t, w, 3); fmt.Sprint(got) != want {
			t.Errorf("got %v", got)
		}
		mustWrite(t, s, things+"a/x", "n=later", revision)
		if got := receive(t, w, 1); fmt.Sprint(got) != fmt.Sprintf("[DELETED a/x@%d]", writes+1) {
			t.Errorf("got %v", got)
		}
	})
}

func TestWatchPastCompaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, c := started(t, d, func(o *Options) { o.RecentBytes = 1 })
		first := mustWrite(t, s, things+"a/x", "n=1", 0)
		second := mustWrite(t, s, things+"a/x", "n=2", first)
		joined, err := c.Watch(t.Context(), WatchOptions{After: second})
		if err != nil {
			t.Fatal(err)
		}
		defer joined.Stop()
		time.Sleep(time.Hour)
		mustWrite(t, s, things+"a/x", "n=3", second)
		time.Sleep(2 * compactEvery)
		if state, _ := d.db.now(); state.Compacted != second {
			t.Fatalf("compacted to %d", state.Compacted)
		}
		if _, err := c.Watch(t.Context(), WatchOptions{After: first}); !errors.Is(err, ErrCompacted) {
			t.Errorf("watch: %v", err)
		}
		if _, err := c.At(t.Context(), first); !errors.Is(err, ErrCompacted) {
			t.Errorf("at: %v", err)
		}
		if at, err := c.At(t.Context(), second); err != nil || text(at.Get(things+"a/x")) != "n=2" {
			t.Errorf("at the compacted revision: %v", err)
		}
		if got := receive(t, joined, 1); fmt.Sprint(got) != "[MODIFIED a/x@3]" {
			t.Errorf("the watcher that was there got %v", got)
		}
	})
}

func TestFutureRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := started(t, newMemoryDriver())
		if _, err := c.Watch(t.Context(), WatchOptions{After: 10}); !errors.Is(err, ErrFutureRevision) {
			t.Errorf("watch: %v", err)
		}
		if _, err := c.At(t.Context(), 10); !errors.Is(err, ErrFutureRevision) {
			t.Errorf("at: %v", err)
		}
		// One that comes in time is waited for.
		time.AfterFunc(time.Second, func() { mustWrite(t, s, things+"a/x", "x", 0) })
		if at, err := c.At(t.Context(), 1); err != nil || at.Revision != 1 {
			t.Errorf("at: %v", err)
		}
	})
}

func TestEncodingOfAChangeIsMadeOnce(t *testing.T) {
	s, c := started(t, newMemoryDriver())
	mustWrite(t, s, things+"a/x", "x", 0)
	var made atomic.Int32
	var watching sync.WaitGroup
	for range 20 {
		watching.Go(func() {
			w, err := c.Watch(t.Context(), WatchOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Stop()
			deliveries, err := w.Next(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			data, err := deliveries[0].Change.Encoding("json", func() ([]byte, error) {
				made.Add(1)
				return []byte("encoded"), nil
			})
			if err != nil || string(data) != "encoded" {
				t.Errorf("got %q, %v", data, err)
			}
		})
	}
	watching.Wait()
	if made.Load() != 1 {
		t.Errorf("made %d times", made.Load())
	}
	change := &Change{Revision: 1, Object: &Object{}}
	if _, err := change.Encoding(1, func() ([]byte, error) { return nil, errors.New("failed") }); err == nil {
		t.Error("no error")
	}
	if data, err := change.Encoding(1, func() ([]byte, error) { return []byte("ok"), nil }); err != nil || string(data) != "ok" {
		t.Errorf("an error was kept: %v", err)
	}
}

func TestRecentChangesStayInTheirBudget(t *testing.T) {
	const budget = 20_000
	s, c := started(t, newMemoryDriver(), func(o *Options) { o.RecentBytes = budget })
	revision := int64(0)
	for range 200 {
		revision = mustWrite(t, s, things+"a/x", string(make([]byte, 500)), revision)
		if changes, ok := s.hub.since(c, revision-1); ok && len(changes) == 1 {
			if _, err := changes[0].Encoding("k", func() ([]byte, error) { return make([]byte, 1000), nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, bytes := s.hub.sizes(); bytes > budget || bytes < budget/2 {
		t.Errorf("%d bytes of %d", bytes, budget)
	}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	var sum int64
	for _, change := range s.hub.recent.all() {
		sum += change.cost
	}
	if sum != s.hub.bytes || c.floor != s.hub.recent.all()[0].Revision-1 || c.recent.len() != s.hub.recent.len() {
		t.Errorf("sum %d, counted %d, floor %d", sum, s.hub.bytes, c.floor)
	}
}
