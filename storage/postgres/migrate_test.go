package postgres

import (
	"testing"

	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/storagetest"
)

// TestMigrateDownAndUp goes every step down with data in the store, and up again.
func TestMigrateDownAndUp(t *testing.T) {
	d, err := Open(t.Context(), storagetest.Postgres(t), storagetest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	batch := storage.Batch{ID: storage.BatchID{Origin: "a", Sequence: 1}, Writes: []storage.Write{{Key: "/a", Value: []byte("v")}}}
	if _, err := d.Commit(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	db := open(d.config.ConnConfig)
	defer db.Close()
	steps, err := provider(db, d.schema, d.logger)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := steps.DownTo(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := steps.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	outcomes, err := d.Commit(t.Context(), batch)
	if err != nil || outcomes[0].Revision != 1 {
		t.Errorf("commit in the new store: %+v, %v", outcomes, err)
	}
}
