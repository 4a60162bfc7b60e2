package storage

import (
	"sync"
	"testing"
	"testing/synctest"
)

func TestSyncSharesQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		s, _ := started(t, d)
		synctest.Wait()
		before, _ := d.counts()
		gate := make(chan struct{})
		d.set(func() {
			d.beforeState = func() error {
				<-gate
				return nil
			}
		})
		var callers sync.WaitGroup
		ask := func() {
			callers.Go(func() {
				if _, err := s.Sync(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		ask()
		synctest.Wait() // the first question is under way: the others must not take its answer
		for range 50 {
			ask()
		}
		synctest.Wait()
		if asked, _ := d.counts(); asked != before+1 {
			t.Errorf("%d questions at a time", asked-before)
		}
		close(gate)
		callers.Wait()
		if asked, _ := d.counts(); asked != before+2 {
			t.Errorf("%d questions for 51 callers, want 2", asked-before)
		}
	})
}

func TestSyncOfAnExclusiveDriverAsksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemoryDriver()
		d.exclusive = true
		s, _ := started(t, d)
		written := mustWrite(t, s, things+"a/x", "x", 0)
		revision, err := s.Sync(t.Context())
		if asked, _ := d.counts(); err != nil || revision != written || asked != 0 {
			t.Errorf("revision %d (%v) after %d questions", revision, err, asked)
		}
	})
}
