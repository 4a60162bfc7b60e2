package storage

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestReadYourWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := started(t, newMemoryDriver())
		first := mustWrite(t, s, things+"a/x", "color=red", 0)
		o, at := c.Get(things + "a/x")
		if o == nil || o.Revision != first || o.Created != first || at != first || text(o) != "color=red" {
			t.Fatalf("got %+v at %d", o, at)
		}
		second := mustWrite(t, s, things+"a/x", "color=blue", first)
		o, _ = c.Get(things + "a/x")
		if o.Revision != second || o.Created != first {
			t.Fatalf("got %+v", o)
		}
		mustWrite(t, s, things+"a/x", "", second)
		if o, _ := c.Get(things + "a/x"); o != nil {
			t.Fatalf("got %+v after the delete", o)
		}
	})
}

func TestAny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := started(t, newMemoryDriver())
		expect := func(prefix string, want bool) {
			t.Helper()
			if got := c.Any(prefix); got != want {
				t.Errorf("any %s is %v", prefix, got)
			}
		}
		expect(things, false)
		revision := mustWrite(t, s, things+"b/x", "color=red", 0)
		expect(things, true)
		expect(things+"b/", true)
		expect(things+"a/", false)
		expect(things+"c/", false)
		mustWrite(t, s, things+"b/x", "", revision)
		expect(things+"b/", false)
	})
}

func TestConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := started(t, newMemoryDriver())
		first := mustWrite(t, s, things+"a/x", "color=red", 0)
		_, err := s.Write(t.Context(), Write{Key: things + "a/x", Value: []byte("color=blue")})
		var conflict *ConflictError
		if !errors.As(err, &conflict) || conflict.Current != first || conflict.Key != things+"a/x" {
			t.Fatalf("got %v", err)
		}
		if _, err = s.Write(t.Context(), Write{Key: things + "a/y", Expect: 7}); !errors.As(err, &conflict) || conflict.Current != 0 {
			t.Fatalf("got %v", err)
		}
	})
}

func TestLifecycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newTextStore(t, newMemoryDriver())
		if s.Ready() == nil {
			t.Error("ready before the start")
		}
		if _, err := c.Watch(t.Context(), WatchOptions{}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("watch before the start: %v", err)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err == nil {
			t.Error("started twice")
		}
		if err := s.Ready(); err != nil {
			t.Error(err)
		}
		w, err := c.Watch(t.Context(), WatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		}
		if _, err := w.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("watch after the stop: %v", err)
		}
		if _, err := s.Write(t.Context(), Write{Key: "/x", Value: []byte("y")}); !errors.Is(err, ErrClosed) {
			t.Errorf("write after the stop: %v", err)
		}
		if _, err := s.Sync(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("sync after the stop: %v", err)
		}
		if err := s.Start(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("start after the stop: %v", err)
		}
	}) // fails when a goroutine is left
}

func TestStopBeforeStart(t *testing.T) {
	s, _ := newTextStore(t, newMemoryDriver())
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}
