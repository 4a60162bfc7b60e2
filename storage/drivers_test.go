package storage_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/postgres"
	"github.com/howdah/howdah/storage/sqlite"
	"github.com/howdah/howdah/storage/storagetest"
)

const things = "/registry/things/"

func openPostgres(t testing.TB, endpoint string) storage.Driver {
	t.Helper()
	d, err := postgres.Open(t.Context(), endpoint, storagetest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func openSQLite(t testing.TB) storage.Driver {
	t.Helper()
	d, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), storagetest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestOracleOnPostgres(t *testing.T) {
	t.Parallel()
	endpoint := storagetest.Postgres(t)
	storage.CheckOracle(t, openPostgres(t, endpoint), openPostgres(t, endpoint))
}

func TestSealedOnPostgres(t *testing.T) {
	t.Parallel()
	storage.CheckSealed(t, openPostgres(t, storagetest.Postgres(t)))
}

func TestSealedOnSQLite(t *testing.T) {
	t.Parallel()
	storage.CheckSealed(t, openSQLite(t))
}

func TestOracleOnSQLite(t *testing.T) {
	t.Parallel()
	storage.CheckOracle(t, openSQLite(t))
}

// A frozen server keeps its connections open and answers nothing: writes must
// end in time, watches stay, and all is well when it thaws.
func TestFrozenPostgres(t *testing.T) {
	t.Parallel()
	server := storagetest.StartPostgres(t, storagetest.PostgresOptions{})
	const patience = 3 * time.Second
	s, c := storage.StartText(t, openPostgres(t, server.Store()), func(o *storage.Options) { o.WriteTimeout = patience })
	w, err := c.Watch(t.Context(), storage.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	write := func(name string) error {
		_, err := s.Write(t.Context(), storage.Write{Key: things + "a/" + name, Value: []byte("x")})
		return err
	}
	if err := write("before"); err != nil {
		t.Fatal(err)
	}
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var writers sync.WaitGroup
	for i := range 20 {
		writers.Go(func() {
			if err := write(fmt.Sprint(i)); !errors.Is(err, storage.ErrUnavailable) && !errors.Is(err, storage.ErrUnknownOutcome) {
				t.Errorf("a write to a frozen database: %v", err)
			}
		})
	}
	writers.Wait()
	if took := time.Since(began); took > 2*patience {
		t.Errorf("writes ended after %v", took)
	}
	if s.Ready() == nil {
		t.Error("ready with a frozen database")
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	// Nobody wrote successfully since, so whatever is there now is what the
	// frozen transactions did; a write fences those that are still to come.
	for {
		err := write("after")
		if err == nil {
			break
		}
		if !errors.Is(err, storage.ErrUnavailable) && !errors.Is(err, storage.ErrUnknownOutcome) {
			t.Fatal(err)
		}
	}
	if _, err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for !seen[things+"a/after"] {
		deliveries, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range deliveries {
			seen[d.Object.Key] = true
		}
	}
	if n := c.Snapshot().Len(""); n != len(seen) {
		t.Errorf("%d objects, the watcher saw %d", n, len(seen))
	}
}

// How soon another server's watcher has a write.
func TestWriteReachesTheOtherServer(t *testing.T) {
	t.Parallel()
	endpoint := storagetest.Postgres(t)
	one, _ := storage.StartText(t, openPostgres(t, endpoint))
	_, inTwo := storage.StartText(t, openPostgres(t, endpoint))
	w, err := inTwo.Watch(t.Context(), storage.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var longest, sum time.Duration
	const writes = 200
	for i := range writes {
		began := time.Now()
		if _, err := one.Write(ctx, storage.Write{Key: fmt.Sprint(things, "a/", i), Value: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Next(ctx); err != nil {
			t.Fatal(err)
		}
		longest, sum = max(longest, time.Since(began)), sum+time.Since(began)
	}
	t.Logf("from the call of Write to the other server's delivery: mean %v, longest %v", sum/writes, longest)
	if sum/writes > time.Second {
		t.Error("notifications do not arrive")
	}
}
