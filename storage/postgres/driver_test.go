package postgres_test

import (
	"testing"

	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/postgres"
	"github.com/howdah/howdah/storage/storagetest"
)

func TestDriver(t *testing.T) {
	storagetest.Driver(t, fresh, storagetest.Traits{})
}

func fresh(t testing.TB) func() storage.Driver {
	endpoint := storagetest.Postgres(t)
	return func() storage.Driver { return open(t, endpoint) }
}

func open(t testing.TB, endpoint string) *postgres.Driver {
	t.Helper()
	d, err := postgres.Open(t.Context(), endpoint, storagetest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}
