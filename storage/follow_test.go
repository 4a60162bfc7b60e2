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

func (m *mirror) Delete(key string) {
	<-m.held
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.texts, key)
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
	follower := c.Follow(m)
	if !m.is(c) {
		t.Error("the keeper does not know what was there")
	}
	var running sync.WaitGroup
	running.Go(func() { follower.Run(context.Background()) })
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
	running.Wait() // the end of the store is the follower's
}
