package sqlite_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/howdah/howdah/migrations"
	"github.com/howdah/howdah/storage/sqlite"
	"github.com/howdah/howdah/storage/storagetest"
)

const openVariable = "HOWDAH_TEST_OPEN_SQLITE"

// TestSecondServer: a file in use is refused with advice, to another process
// and to this one, and is free again afterwards.
func TestSecondServer(t *testing.T) {
	if path := os.Getenv(openVariable); path != "" {
		_, err := sqlite.Open(t.Context(), path, storagetest.Logger(t))
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "howdah.db")
	d := open(t, path)
	if _, err := sqlite.Open(t.Context(), path, storagetest.Logger(t)); err == nil || !strings.Contains(err.Error(), "another server uses the SQLite file") {
		t.Errorf("opening a file in use: %v", err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestSecondServer$")
	child.Env = append(os.Environ(), openVariable+"="+path)
	if output, err := child.CombinedOutput(); err == nil || !strings.Contains(string(output), "another server uses the SQLite file") {
		t.Errorf("another process opening a file in use: %v\n%s", err, output)
	}
	must(t, d.Close())
	open(t, path)
}

// TestMode: nobody else may read what the store keeps, such as secrets.
func TestMode(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	open(t, "sqlite://"+filepath.Join(dir, "howdah.db"))
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) < 3 { // the file, its log, the lock
		t.Errorf("the directory has only %v", entries)
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), "-shm") {
			continue // an index; SQLite gives it the mode of the file, too
		}
		info, err := entry.Info()
		must(t, err)
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", entry.Name(), mode)
		}
	}
	info, err := os.Stat(dir)
	must(t, err)
	if mode := info.Mode().Perm(); mode != 0o700 {
		t.Errorf("the directory has mode %o", mode)
	}
}

func TestMigrate(t *testing.T) {
	path, logger := filepath.Join(t.TempDir(), "a file with #?%20.db"), storagetest.Logger(t)
	status := func(applied bool) {
		t.Helper()
		list, err := sqlite.Migrations(t.Context(), path, logger)
		must(t, err)
		if len(list) == 0 {
			t.Error("no migrations")
		}
		for _, s := range list {
			if s.Applied.IsZero() == applied {
				t.Errorf("%+v", s)
			}
		}
	}
	status(false)
	must(t, sqlite.Migrate(t.Context(), path, logger))
	status(true)
	must(t, sqlite.Migrate(t.Context(), path, logger))

	db := database(t, path)
	_, err := db.ExecContext(t.Context(), "insert into migrations (version_id, is_applied) values (99, true)")
	must(t, err)
	if _, err := sqlite.Open(t.Context(), path, logger); !errors.Is(err, migrations.ErrNewerSchema) {
		t.Errorf("opening a newer schema: %v", err)
	}
	// A refused file stays free for the release that knows it.
	must(t, db.Close())
	if _, err := sqlite.Open(t.Context(), path, logger); !errors.Is(err, migrations.ErrNewerSchema) {
		t.Errorf("opening a newer schema again: %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
