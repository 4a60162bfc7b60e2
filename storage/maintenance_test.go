package storage

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, c := started(t, d)
		two, inTwo := started(t, &memoryDriver{db: d.db}) // both will find them
		w, err := c.Watch(t.Context(), WatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		for i := range 3 {
			expires := time.Now().Add(time.Duration(i) * time.Minute)
			if i == 0 {
				expires = time.Time{}
			}
			if _, err := s.Write(t.Context(), Write{Key: fmt.Sprint(things, "a/", i), Value: []byte("x"), Expires: expires}); err != nil {
				t.Fatal(err)
			}
		}
		if o, _ := c.Get(things + "a/1"); !o.Expires.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("expires %v", o.Expires)
		}
		time.Sleep(90 * time.Second)
		if got := receive(t, w, 4); fmt.Sprint(got) != "[ADDED a/0@1 ADDED a/1@2 ADDED a/2@3 DELETED a/1@4]" {
			t.Errorf("got %v", got)
		}
		time.Sleep(time.Minute)
		if _, err := two.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := scan(inTwo.Snapshot(), "", "", Selection{}); fmt.Sprint(got) != "[a/0]" {
			t.Errorf("left: %v", got)
		}
	})
}

func TestCompaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, _ := started(t, d, func(o *Options) { o.HistoryRetention = 10 * time.Minute })
		revision := int64(0)
		for range 30 {
			revision = mustWrite(t, s, things+"a/x", "x", revision)
			time.Sleep(time.Minute)
		}
		if _, n := d.db.now(); n < 9 || n > 12 {
			t.Errorf("%d events after half an hour, one a minute", n)
		}
	})
}

func TestRetentionBySize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver() // 1,000 bytes an event
		s, _ := started(t, d, func(o *Options) { o.MaxHistoryBytes = 30_000 })
		revision := int64(0)
		for range 180 {
			revision = mustWrite(t, s, things+"a/x", "x", revision)
			time.Sleep(time.Minute)
		}
		if _, n := d.db.now(); n < 10 || n > 40 {
			t.Errorf("%d events of 30 allowed", n)
		}
	})
}
