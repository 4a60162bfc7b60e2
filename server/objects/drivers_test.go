package objects

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/postgres"
	"github.com/howdah/howdah/storage/sqlite"
	"github.com/howdah/howdah/storage/storagetest"
)

// A database is one that a server, or several, can be started on.
type database struct {
	name   string
	fresh  func(t testing.TB) (endpoint string)
	open   func(t testing.TB, endpoint string) (storage.Driver, error)
	shared bool // by several servers
}

func databases() []database {
	logger := slog.New(slog.DiscardHandler)
	return []database{
		{
			name:  "SQLite",
			fresh: func(t testing.TB) string { return filepath.Join(t.TempDir(), "state.db") },
			open: func(t testing.TB, endpoint string) (storage.Driver, error) {
				return sqlite.Open(t.Context(), endpoint, logger)
			},
		},
		{
			name:  "PostgreSQL",
			fresh: func(t testing.TB) string { return storagetest.Postgres(t) },
			open: func(t testing.TB, endpoint string) (storage.Driver, error) {
				return postgres.Open(t.Context(), endpoint, logger)
			},
			shared: true,
		},
	}
}

// driver opens a database; it is closed with the test.
func (d database) driver(t testing.TB, endpoint string) storage.Driver {
	t.Helper()
	driver, err := d.open(t, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := driver.Close(); err != nil {
			t.Error(err)
		}
	})
	return driver
}
