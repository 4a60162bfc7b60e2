package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/postgres"
	"github.com/howdah/howdah/storage/storagetest"
)

// TestFaults commits batches while the server suffers. Whoever repeats a batch
// until it is acknowledged has it applied exactly once.
func TestFaults(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault func(ctx context.Context, s *storagetest.Server) error
	}{
		{"connections are cut", func(ctx context.Context, s *storagetest.Server) error {
			_, err := s.KillBackends(ctx)
			return err
		}},
		{"the server restarts", func(_ context.Context, s *storagetest.Server) error { return s.Restart() }},
		{"the server crashes", func(_ context.Context, s *storagetest.Server) error {
			return errors.Join(s.Kill(), s.Start())
		}},
		{"the server freezes", func(_ context.Context, s *storagetest.Server) error {
			defer s.Resume()
			if err := s.Pause(); err != nil {
				return err
			}
			<-time.After(freezeTime)
			return nil
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := storagetest.StartPostgres(t, storagetest.PostgresOptions{})
			d := open(t, server.Store())
			commitThrough(t, d, func() error { return test.fault(t.Context(), server) })
		})
	}
}

const (
	faults     = 3
	perFault   = 20 // batches committed before the next fault
	perBatch   = 8
	freezeTime = 2 * commitTime
	commitTime = 300 * time.Millisecond
	retryPause = 5 * time.Millisecond
)

// commitThrough commits while fault happens again and again, then checks that
// the history is what was acknowledged.
func commitThrough(t *testing.T, d *postgres.Driver, fault func() error) {
	faulty := make(chan struct{}) // one signal a fault
	var failing sync.WaitGroup
	failing.Go(func() {
		for range faulty {
			if err := fault(); err != nil {
				t.Error(err)
			}
		}
	})

	var acknowledged []storage.Outcome
	failures := 0
	var slowest time.Duration
	for i := range (faults + 1) * perFault {
		if i > 0 && i%perFault == 0 {
			faulty <- struct{}{}
		}
		batch := storage.Batch{ID: storage.BatchID{Origin: "faults", Sequence: int64(i + 1)}}
		for j := range perBatch {
			batch.Writes = append(batch.Writes, storage.Write{Key: fmt.Sprintf("/%d/%d", i, j), Value: []byte(fmt.Sprint(i))})
		}
		for {
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), commitTime)
			outcomes, err := d.Commit(ctx, batch)
			cancel()
			slowest = max(slowest, time.Since(begin))
			if err == nil {
				acknowledged = append(acknowledged, outcomes...)
				break
			}
			failures++
			if !errors.Is(err, storage.ErrUnavailable) {
				t.Fatalf("commit: %v, want %v", err, storage.ErrUnavailable)
			}
			<-time.After(retryPause)
		}
	}
	close(faulty)
	failing.Wait()
	t.Logf("%d commits failed, the slowest took %v", failures, slowest)
	if slowest > 2*commitTime+time.Second {
		t.Errorf("a commit with %v to go took %v", commitTime, slowest)
	}

	events, state, err := d.Events(t.Context(), storage.EventQuery{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	want := (faults + 1) * perFault * perBatch
	if len(events) != want || state.Revision != int64(want) || len(acknowledged) != want {
		t.Fatalf("%d events, revision %d, %d acknowledged; want %d", len(events), state.Revision, len(acknowledged), want)
	}
	for i, e := range events {
		if e.Revision != int64(i+1) || acknowledged[i].Revision != e.Revision {
			t.Fatalf("event %d has revision %d, acknowledged %d", i, e.Revision, acknowledged[i].Revision)
		}
	}
}

// TestLostReply: a batch that was applied and not acknowledged is not applied
// again, which a batch of another name would be.
func TestLostReply(t *testing.T) {
	proxy, endpoint := storagetest.StartProxy(t, storagetest.StartPostgres(t, storagetest.PostgresOptions{}).Store())
	d := open(t, endpoint)
	batch := func(sequence int64, expect int64) storage.Batch {
		return storage.Batch{
			ID:     storage.BatchID{Origin: "lost", Sequence: sequence},
			Writes: []storage.Write{{Key: "/a", Value: []byte("v"), Expect: expect}},
		}
	}
	if _, err := d.Commit(t.Context(), batch(1, 0)); err != nil {
		t.Fatal(err)
	}

	proxy.LoseReplies()
	if _, err := d.Commit(t.Context(), batch(2, 1)); !errors.Is(err, storage.ErrUnavailable) {
		t.Fatalf("commit without a reply: %v, want %v", err, storage.ErrUnavailable)
	}
	proxy.Heal()
	outcomes, err := d.Commit(t.Context(), batch(2, 1))
	if err != nil || outcomes[0] != (storage.Outcome{Revision: 2, Current: 1}) {
		t.Errorf("the same batch again: %+v, %v", outcomes, err)
	}
	// What the protection is against.
	outcomes, err = d.Commit(t.Context(), batch(3, 1))
	if err != nil || outcomes[0] != (storage.Outcome{Current: 2}) {
		t.Errorf("the same write in another batch: %+v, %v", outcomes, err)
	}
	if state, err := d.State(t.Context()); err != nil || state.Revision != 2 {
		t.Errorf("state %+v, %v", state, err)
	}
}

// TestReadsAfterRestart: the connections that a restart cut trouble nobody.
func TestReadsAfterRestart(t *testing.T) {
	server := storagetest.StartPostgres(t, storagetest.PostgresOptions{})
	d := open(t, server.Store())
	var reading sync.WaitGroup
	for range 6 { // as many idle connections
		reading.Go(func() {
			if _, err := d.State(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	reading.Wait()
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.State(t.Context()); err != nil {
		t.Errorf("state after a restart: %v", err)
	}
}

// TestListenThroughFaults: the listener is woken when it has a connection
// again, and by what happens then.
func TestListenThroughFaults(t *testing.T) {
	server := storagetest.StartPostgres(t, storagetest.PostgresOptions{})
	endpoint := server.Store()
	here, there := open(t, endpoint), open(t, endpoint)
	wakes := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var listening sync.WaitGroup
	listening.Go(func() {
		there.Listen(ctx, func() {
			select {
			case wakes <- struct{}{}:
			default:
			}
		})
	})
	<-wakes
	for i, fault := range []func() error{
		func() error { _, err := server.KillBackends(t.Context()); return err },
		server.Restart,
		func() error { return errors.Join(server.Kill(), server.Start()) },
	} {
		if err := fault(); err != nil {
			t.Fatal(err)
		}
		<-wakes
		batch := storage.Batch{ID: storage.BatchID{Origin: "here", Sequence: int64(i + 1)}, Writes: []storage.Write{{Key: fmt.Sprint("/", i), Value: []byte("v")}}}
		for {
			_, err := here.Commit(t.Context(), batch)
			if err == nil {
				break
			}
			if !errors.Is(err, storage.ErrUnavailable) {
				t.Fatal(err)
			}
			<-time.After(retryPause)
		}
		<-wakes
	}
	cancel()
	listening.Wait()
}

// TestEpoch: a restart keeps it, a promotion doesn't.
func TestEpoch(t *testing.T) {
	server := storagetest.StartPostgres(t, storagetest.PostgresOptions{})
	endpoint := server.Store()
	d := open(t, endpoint)
	epoch := func() string {
		t.Helper()
		for {
			state, err := d.State(t.Context())
			if err == nil {
				return state.Epoch
			}
			if !errors.Is(err, storage.ErrUnavailable) {
				t.Fatal(err)
			}
		}
	}
	first := epoch()
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	if again := epoch(); again != first {
		t.Errorf("a restart changed the epoch from %s to %s", first, again)
	}
	if again, err := open(t, endpoint).State(t.Context()); err != nil || again.Epoch != first {
		t.Errorf("another server has epoch %s, not %s (%v)", again.Epoch, first, err)
	}
	if err := server.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if promoted := epoch(); promoted == first {
		t.Errorf("a promotion left the epoch at %s", first)
	}
}
