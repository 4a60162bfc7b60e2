package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// lockSealer seals with the newest of its locks and opens with those it has.
type lockSealer struct {
	mu      sync.Mutex
	locks   []string // the first one seals
	refuses error
}

func (s *lockSealer) Seal(_ context.Context, key string, value []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuses != nil {
		return nil, s.refuses
	}
	return fmt.Appendf(nil, "%s:%s:%s", s.locks[0], key, flip(value)), nil
}

func (s *lockSealer) Open(_ context.Context, key string, sealed []byte) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, lock := range s.locks {
		if value, ok := bytes.CutPrefix(sealed, []byte(lock+":"+key+":")); ok {
			return flip(value), i > 0, nil
		}
	}
	return nil, false, errors.New("no lock fits")
}

func (s *lockSealer) have(locks ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locks = locks
}

func flip(value []byte) []byte {
	out := make([]byte, len(value))
	for i, b := range value {
		out[i] = b ^ 0xff
	}
	return out
}

func withSealer(s Sealer) func(*Options) { return func(o *Options) { o.Sealer = s } }

// TestSealed: readers and watchers of all servers see values, the database never
// does, in no table.
func TestSealed(t *testing.T) { CheckSealed(t, newMemoryDriver()) }

// CheckSealed is TestSealed for any driver.
func CheckSealed(t *testing.T, d Driver) {
	t.Helper()
	sealer := &lockSealer{locks: []string{"one"}}
	s, c := started(t, d, withSealer(sealer))
	w, err := c.Watch(t.Context(), WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	const secret = "plain"
	first := mustWrite(t, s, things+"a/x", secret+" n=1", 0)
	second := mustWrite(t, s, things+"a/x", secret+" n=2", first)
	mustWrite(t, s, things+"a/y", secret+" n=3", 0)
	mustWrite(t, s, things+"a/x", "", second)
	if got := fmt.Sprint(receive(t, w, 4)); got != "[ADDED a/x@1 MODIFIED a/x@2 ADDED a/y@3 DELETED a/x@4]" {
		t.Errorf("watched %s", got)
	}
	if o, _ := c.Get(things + "a/y"); text(o) != secret+" n=3" || o.Labels.Get("n") != "3" {
		t.Errorf("y is %+v", o)
	}
	past, err := c.At(t.Context(), second)
	if err != nil || text(past.Get(things+"a/x")) != secret+" n=2" {
		t.Errorf("x was %q: %v", text(past.Get(things+"a/x")), err)
	}
	events, _, err := d.Events(t.Context(), EventQuery{Limit: 10, Previous: true})
	if err != nil || len(events) != 4 {
		t.Fatalf("%d events: %v", len(events), err)
	}
	for _, e := range events {
		kept := string(e.Record.Value)
		if e.Previous != nil {
			kept += string(e.Previous.Value)
		}
		if strings.Contains(kept, secret) || !strings.Contains(kept, "one:") {
			t.Errorf("the database keeps %q", kept)
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	// Loaded and read from history.
	_, c = started(t, d, withSealer(sealer))
	if o, _ := c.Get(things + "a/y"); text(o) != secret+" n=3" {
		t.Errorf("y is %+v after a restart", o)
	}
	past, err = c.At(t.Context(), second)
	if err != nil || text(past.Get(things+"a/x")) != secret+" n=2" {
		t.Errorf("x was %q after a restart: %v", text(past.Get(things+"a/x")), err)
	}
	again, err := c.Watch(t.Context(), WatchOptions{After: first})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Stop()
	if got := fmt.Sprint(receive(t, again, 3)); got != "[MODIFIED a/x@2 ADDED a/y@3 DELETED a/x@4]" {
		t.Errorf("watched %s after a restart", got)
	}
}

// TestUnopenedValues: a value whose lock is gone does not touch its neighbours,
// can be deleted and replaced, and comes back with its lock.
func TestUnopenedValues(t *testing.T) {
	d := newMemoryDriver()
	sealer := &lockSealer{locks: []string{"one"}}
	s, _ := started(t, d, withSealer(sealer))
	x := mustWrite(t, s, things+"a/x", "n=1", 0)
	mustWrite(t, s, things+"a/z", "n=1", 0)
	sealer.have("two")
	mustWrite(t, s, things+"a/y", "n=2", 0)

	s, c := started(t, &memoryDriver{db: d.db}, withSealer(sealer))
	o, _ := c.Get(things + "a/x")
	var sealed *SealError
	if !errors.As(o.Err, &sealed) || o.Err.Error() != "no lock fits" || o.Revision != x {
		t.Errorf("x is %+v", o)
	}
	if o, _ := c.Get(things + "a/y"); text(o) != "n=2" {
		t.Errorf("y is %+v", o)
	}
	mustWrite(t, s, things+"a/x", "", x)

	sealer.have("two", "one")
	s.reopenSoon()
	eventually(t, func() bool {
		o, _ := c.Get(things + "a/z")
		return text(o) == "n=1"
	})
	if got := scan(c.Snapshot(), "", "", mustSelect(t, "n=1", "")); fmt.Sprint(got) != "[a/z]" {
		t.Errorf("selected %v", got)
	}
	if failures := s.opener.failures(); len(failures) > 0 {
		eventually(t, func() bool { s.reopenSoon(); return len(s.opener.failures()) == 0 })
	}
	if stale, err := s.Stale(t.Context(), things+"a/z"); err != nil || !stale {
		t.Errorf("z is stale: %v %v", stale, err)
	}
	if stale, err := s.Stale(t.Context(), things+"a/y"); err != nil || stale {
		t.Errorf("y is stale: %v %v", stale, err)
	}
	w, err := c.Watch(t.Context(), WatchOptions{After: s.Revision() - 1})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if got := receive(t, w, 1); fmt.Sprint(got) != "[DELETED a/x@4]" {
		t.Errorf("watched %v", got)
	}
}

// TestUnopenedKeyOfLaterCollection: what the sealer could not know when it was
// loaded is opened when its collection comes.
func TestUnopenedKeyOfLaterCollection(t *testing.T) {
	d := newMemoryDriver()
	sealer := &lockSealer{locks: []string{"one"}}
	s, _ := started(t, d, withSealer(sealer))
	mustWrite(t, s, "/registry/others/a/x", "n=1", 0)
	sealer.have("two")
	s, _ = started(t, &memoryDriver{db: d.db}, withSealer(sealer))
	sealer.have("one")
	others := s.Register("/registry/others/", describeText)
	eventually(t, func() bool {
		o, _ := others.Get("/registry/others/a/x")
		return text(o) == "n=1"
	})
}

// TestUnsealedWrite: a write that can't be sealed reaches nobody.
func TestUnsealedWrite(t *testing.T) {
	d := newMemoryDriver()
	s, c := started(t, d, withSealer(&lockSealer{refuses: errors.New("the vault is closed")}))
	_, err := s.Write(t.Context(), Write{Key: things + "a/x", Value: []byte("n=1")})
	var sealed *SealError
	if !errors.As(err, &sealed) || err.Error() != "the vault is closed" {
		t.Errorf("got %v", err)
	}
	if o, _ := c.Get(things + "a/x"); o != nil || len(d.commits) > 0 {
		t.Errorf("x is %+v after %d commits", o, len(d.commits))
	}
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("it never came true")
		}
		time.Sleep(time.Millisecond)
	}
}
