package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/sqlite"
	"github.com/howdah/howdah/storage/storagetest"
)

func TestDriver(t *testing.T) {
	storagetest.Driver(t, fresh, storagetest.Traits{OneServer: "an SQLite file belongs to one server"})
}

func fresh(t testing.TB) func() storage.Driver {
	path := filepath.Join(t.TempDir(), "howdah.db")
	return func() storage.Driver { return open(t, path) }
}

func open(t testing.TB, path string) *sqlite.Driver {
	t.Helper()
	d, err := sqlite.Open(t.Context(), path, storagetest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}
