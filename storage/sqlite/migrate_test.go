package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/howdah/howdah/storage/storagetest"
)

// TestMigrateDownAndUp goes every step down and up again.
func TestMigrateDownAndUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "howdah.db")
	if err := Migrate(t.Context(), path, storagetest.Logger(t)); err != nil {
		t.Fatal(err)
	}
	db, err := database(path, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	steps, err := provider(db, storagetest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := steps.DownTo(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := steps.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
}
