package storage_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/howdah/howdah/storage"
)

// A mirror keeps the texts of a collection, and lets itself be held up.
type mirror struct {
	mu       sync.Mutex
	texts    map[string]string
	replaced int
	held     chan struct{} // Put waits for it
}

func (m *mirror) Replace(all iter.Seq[*storage.Object]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replaced++
	m.texts = map[string]string{}
	for o := range all {
		m.texts[o.Key] = string(o.Body())
	}
}

func (m *mirror) Put(o *storage.Object) {
	<-m.held
	m.mu.Lock()
	defer m.mu.Unlock()
	m.texts[o.Key] = string(o.Body())
}

func (m *mirror) Delete(last *storage.Object) {
	<-m.held
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.texts, last.Key)
}

func (m *mirror) is(c *storage.Collection) bool {
	want := map[string]string{}
	c.Snapshot().Scan("", "", storage.Selection{}, func(o *storage.Object) bool {
		want[o.Key] = string(o.Body())
		return true
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Equal(m.texts, want)
}

// TestFollow writes at random, also while the keeper is too slow for its watch.
func TestFollow(t *testing.T) {
	t.Parallel()
	t.Run("alone", func(t *testing.T) {
		t.Parallel()
		testFollow(t, func(c *storage.Collection, m *mirror) func(context.Context) { return c.Follow(m).Run })
	})
	t.Run("together", func(t *testing.T) {
		t.Parallel()
		testFollow(t, func(c *storage.Collection, m *mirror) func(context.Context) {
			all := storage.NewFollowers()
			all.Follow(c, m)
			return all.Run
		})
	})
}

func testFollow(t *testing.T, follow func(*storage.Collection, *mirror) (run func(context.Context))) {
	s, c := storage.StartText(t, openSQLite(t), func(o *storage.Options) { o.WatcherDeliveries = 50 })
	random := rand.New(rand.NewPCG(5, 6))
	revisions := map[string]int64{}
	write := func(times int) {
		t.Helper()
		for range times {
			key := fmt.Sprintf("%sa/%d", things, random.IntN(30))
			w := storage.Write{Key: key, Expect: revisions[key]}
			if w.Expect == 0 || random.IntN(3) > 0 {
				w.Value = fmt.Appendf(nil, "v=%d", random.IntN(1000))
			}
			revision, err := s.Write(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			if revisions[key] = revision; w.Value == nil {
				delete(revisions, key)
			}
		}
	}
	write(40)
	m := &mirror{held: make(chan struct{})}
	run := follow(c, m)
	if !m.is(c) {
		t.Error("the keeper does not know what was there")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { run(ctx) })
	write(300) // more than the watch may hold
	close(m.held)
	eventually := func() {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !m.is(c); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the keeper does not catch up")
			}
		}
	}
	eventually()
	if m.replaced < 2 {
		t.Errorf("everything was told %d times, want again after the watch ended", m.replaced)
	}
	write(20)
	eventually()
	if err := s.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if t.Name() != "TestFollow/alone" {
		cancel() // others may be followed in another store
	}
	running.Wait() // the end of the store is the follower's
}

// TestFollowersAreToldUntilTheyStop: each of its own collection, by one goroutine.
func TestFollowersAreToldUntilTheyStop(t *testing.T) {
	t.Parallel()
	s, _ := storage.StartText(t, openSQLite(t))
	all := storage.NewFollowers()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { all.Run(ctx) })
	const followers = 20
	var collections [followers]*storage.Collection
	var mirrors [followers]*mirror
	var stops [followers]func()
	for i := range followers {
		collections[i] = s.Register(fmt.Sprintf("/others/%d/", i), func(_ string, value []byte, _ int64) (*storage.Object, error) {
			return storage.Plain(value), nil
		})
		mirrors[i] = &mirror{held: make(chan struct{})}
		close(mirrors[i].held)
		stops[i] = all.Follow(collections[i], mirrors[i])
	}
	write := func(text string) {
		t.Helper()
		for i := range followers {
			if _, err := s.Write(t.Context(), storage.Write{Key: fmt.Sprintf("/others/%d/%s", i, text), Value: []byte(text)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	await := func(of func(i int) bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			left := 0
			for i := range followers {
				if of(i) && !mirrors[i].is(collections[i]) {
					left++
				}
			}
			if left == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d keepers don't catch up", left)
			}
		}
	}
	write("a")
	await(func(int) bool { return true })
	odd := func(i int) bool { return i%2 == 1 }
	for i := range followers {
		if !odd(i) {
			stops[i]()
		}
	}
	write("b")
	await(odd)
	for i := range followers {
		if !odd(i) && mirrors[i].is(collections[i]) {
			t.Errorf("keeper %d was told after its end", i)
		}
	}
}
