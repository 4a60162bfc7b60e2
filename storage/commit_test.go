package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hold makes commits wait until release is called.
func hold(d *memoryDriver) (release func()) {
	gate := make(chan struct{})
	d.set(func() {
		d.beforeCommit = func(Batch) error {
			<-gate
			return nil
		}
	})
	return sync.OnceFunc(func() { close(gate) })
}

func TestWritesShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, _ := started(t, d)
		release := hold(d)
		var writers sync.WaitGroup
		for i := range 101 {
			writers.Go(func() { mustWrite(t, s, fmt.Sprintf("%sa/%03d", things, i), "x", 0) })
			if i == 0 {
				synctest.Wait() // the first goes alone, as nothing else is there
			}
		}
		synctest.Wait()
		release()
		writers.Wait()
		if sizes := batchSizes(d); fmt.Sprint(sizes) != "[1 100]" {
			t.Errorf("batches of %v", sizes)
		}
	})
}

func batchSizes(d *memoryDriver) (sizes []int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.commits {
		sizes = append(sizes, len(b.Writes))
	}
	return sizes
}

// The memory driver panics when a batch has a key twice.
func TestWritesToOneKeyGoInOrderInBatchesOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, c := started(t, d)
		release := hold(d)
		var writers sync.WaitGroup
		writers.Go(func() { mustWrite(t, s, things+"a/first", "x", 0) })
		synctest.Wait()
		// Each expects what the one before made.
		for i := range 3 {
			writers.Go(func() { mustWrite(t, s, things+"a/x", fmt.Sprint(i), []int64{0, 2, 4}[i]) })
			synctest.Wait()
		}
		writers.Go(func() { mustWrite(t, s, things+"a/y", "y", 0) }) // gets revision 3, with the first
		synctest.Wait()
		release()
		writers.Wait()
		if o, _ := c.Get(things + "a/x"); text(o) != "2" || o.Revision != 5 {
			t.Errorf("got %+v", o)
		}
		if sizes := batchSizes(d); fmt.Sprint(sizes) != "[1 2 1 1]" {
			t.Errorf("batches of %v", sizes)
		}
	})
}

func TestLargeWritesFillABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, _ := started(t, d)
		release := hold(d)
		var writers sync.WaitGroup
		for i := range 8 {
			writers.Go(func() { mustWrite(t, s, fmt.Sprintf("%sa/%d", things, i), string(make([]byte, 3<<20)), 0) })
		}
		synctest.Wait()
		release()
		writers.Wait()
		for _, size := range batchSizes(d) {
			if size > 2 {
				t.Errorf("a batch has %d writes of 3 MiB", size)
			}
		}
	})
}

func TestCancelledWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, c := started(t, d)
		release := hold(d)
		results := make(chan error, 2)
		ctx, cancel := context.WithCancel(t.Context())
		for _, name := range []string{"sent", "queued"} {
			go func() {
				_, err := s.Write(ctx, Write{Key: things + "a/" + name, Value: []byte("x")})
				results <- err
			}()
			synctest.Wait()
		}
		cancel()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("the queued write ended with %v", err)
		}
		release()
		if err := <-results; err != nil {
			t.Errorf("the write that was sent ended with %v", err)
		}
		if o, _ := c.Get(things + "a/sent"); o == nil {
			t.Error("the write that was sent is not there")
		}
		if o, _ := c.Get(things + "a/queued"); o != nil {
			t.Error("the write that was taken back is there")
		}
	})
}

// times returns a fault for the first n calls.
func times(n int, err error) func(Batch) error {
	return func(Batch) error {
		if n--; n >= 0 {
			return err
		}
		return nil
	}
}

func TestCommitIsRepeatedUntilItsOutcomeIsKnown(t *testing.T) {
	lost := fmt.Errorf("%w: cut", ErrUnavailable)
	for name, fault := range map[string]func(*memoryDriver){
		"lost before":            func(d *memoryDriver) { d.beforeCommit = times(3, lost) },
		"lost answer":            func(d *memoryDriver) { d.afterCommit = times(1, lost) },
		"lost before and answer": func(d *memoryDriver) { d.beforeCommit, d.afterCommit = times(2, lost), times(1, lost) },
		"odd error, then fine":   func(d *memoryDriver) { d.afterCommit = times(2, errors.New("odd")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newMemoryDriver()
				s, c := started(t, d)
				d.set(func() { fault(d) })
				revision := mustWrite(t, s, things+"a/x", "x", 0)
				if o, _ := c.Get(things + "a/x"); revision != 1 || o == nil || o.Revision != 1 {
					t.Errorf("revision %d, object %+v", revision, o)
				}
				ids := map[int64]bool{}
				for _, b := range d.commits {
					ids[b.ID.Sequence] = true
				}
				if len(ids) != 1 {
					t.Errorf("retries used %d sequence numbers", len(ids))
				}
				if state, _ := d.db.now(); state.Revision != 1 {
					t.Errorf("written %d times", state.Revision)
				}
			})
		})
	}
}

func TestLostDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, c := started(t, d)
		lost := fmt.Errorf("%w: cut", ErrUnavailable)
		gone := true
		fault := func() error {
			d.mu.Lock()
			defer d.mu.Unlock()
			if gone {
				return lost
			}
			return nil
		}
		d.set(func() {
			d.beforeCommit = func(Batch) error { return fault() }
			d.beforeState = fault
			d.beforeEvents = func(EventQuery) error { return fault() }
		})
		write := func(name string) <-chan error {
			result := make(chan error, 1)
			go func() {
				_, err := s.Write(t.Context(), Write{Key: things + "a/" + name, Value: []byte("x")})
				result <- err
			}()
			synctest.Wait()
			return result
		}
		began := time.Now()
		sent := write("sent")
		time.Sleep(time.Second)
		queued := write("queued")
		if s.Ready() == nil {
			t.Error("ready without a database")
		}
		if _, err := s.Sync(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("sync: %v", err)
		}
		if err := <-sent; !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("the write that was sent: %v", err)
		}
		if err := <-queued; !errors.Is(err, ErrUnavailable) {
			t.Errorf("the queued write: %v", err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}

		d.set(func() { gone = false })
		mustWrite(t, s, things+"a/later", "x", 0)
		time.Sleep(10 * time.Second)
		if err := s.Ready(); err != nil {
			t.Error(err)
		}
		old := d.commits[0]
		if _, err := d.Commit(t.Context(), old); !errors.Is(err, ErrFenced) {
			t.Errorf("the abandoned batch could still be applied: %v", err)
		}
		if n := c.Snapshot().Len(things); n != 1 {
			t.Errorf("%d objects", n)
		}
	})
}

// notSent is an error of a driver that is sure that nothing was sent.
type notSent struct{ error }

func (notSent) SafeToRetry() bool { return true }
func (n notSent) Unwrap() error   { return n.error }

func TestCommitThatWasNeverSentIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, _ := started(t, d)
		d.set(func() { d.beforeCommit = times(1<<30, notSent{fmt.Errorf("%w: refused", ErrUnavailable)}) })
		_, err := s.Write(t.Context(), Write{Key: things + "a/x", Value: []byte("x")})
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("got %v", err)
		}
	})
}

func TestLostAnswerIsFoundLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, c := started(t, d)
		d.set(func() { d.afterCommit = times(1<<30, fmt.Errorf("%w: cut", ErrUnavailable)) })
		if _, err := s.Write(t.Context(), Write{Key: things + "a/x", Value: []byte("x")}); !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("got %v", err)
		}
		if _, err := s.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if o, _ := c.Get(things + "a/x"); o == nil {
			t.Error("the write was applied and is not in the cache")
		}
	})
}

func TestRefusedWriteDoesNotFailOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, c := started(t, d)
		release := hold(d)
		var writers sync.WaitGroup
		writers.Go(func() { mustWrite(t, s, things+"a/0", "x", 0) })
		synctest.Wait()
		errs := make([]error, 3)
		for i, name := range []string{"1", "poison", "2"} {
			writers.Go(func() {
				_, errs[i] = s.Write(t.Context(), Write{Key: things + "a/" + name, Value: []byte("x")})
			})
		}
		synctest.Wait()
		wait := d.beforeCommit
		d.set(func() {
			d.beforeCommit = func(b Batch) error {
				for _, w := range b.Writes {
					if w.Key == things+"a/poison" {
						return errors.New("the value is too large")
					}
				}
				return wait(b)
			}
		})
		release()
		writers.Wait()
		if errs[0] != nil || errs[2] != nil || errs[1] == nil || errors.Is(errs[1], ErrUnavailable) {
			t.Errorf("got %v", errs)
		}
		if n := c.Snapshot().Len(things); n != 3 {
			t.Errorf("%d objects", n)
		}
	})
}

func TestStopDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, c := started(t, d)
		release := hold(d)
		var writers sync.WaitGroup
		for i := range 10 {
			writers.Go(func() { mustWrite(t, s, fmt.Sprint(things, "a/", i), "x", 0) })
			synctest.Wait()
		}
		stopped := make(chan error)
		go func() { stopped <- s.Stop(context.Background()) }()
		synctest.Wait()
		release()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		writers.Wait()
		if n := c.Snapshot().Len(things); n != 10 {
			t.Errorf("%d objects", n)
		}
	})
}

func TestStopGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, err := New(Options{Driver: d})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.set(func() { d.beforeCommit = times(1<<30, ErrUnavailable) })
		results := make(chan error, 2)
		for _, key := range []string{"/sent", "/queued"} {
			go func() {
				_, err := s.Write(t.Context(), Write{Key: key, Value: []byte("x")})
				results <- err
			}()
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop: %v", err)
		}
		for range 2 {
			if err := <-results; !errors.Is(err, ErrUnknownOutcome) && !errors.Is(err, ErrClosed) {
				t.Errorf("write: %v", err)
			}
		}
	})
}

// A stop without a deadline does not wait for a database that is gone.
func TestStopWithoutADatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, _ := started(t, d)
		lost := func() error { return ErrUnavailable }
		d.set(func() {
			d.beforeCommit = func(Batch) error { return lost() }
			d.beforeState = lost
			d.beforeEvents = func(EventQuery) error { return lost() }
		})
		if _, err := s.Write(t.Context(), Write{Key: "/x", Value: []byte("x")}); !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("write: %v", err)
		}
		began := time.Now()
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
}
