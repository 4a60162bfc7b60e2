package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The documents in the repository are those of the Kubernetes version in go.mod.
func TestDocumentsAreCurrent(t *testing.T) {
	out := filepath.Join(t.TempDir(), "documents")
	if err := generate(out); err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadDir("../../documents")
	if err != nil {
		t.Fatal(err)
	}
	if len(made) != len(kept) {
		t.Errorf("%d documents, expected %d", len(kept), len(made))
	}
	for _, file := range made {
		want, _ := os.ReadFile(filepath.Join(out, file.Name()))
		got, _ := os.ReadFile(filepath.Join("../../documents", file.Name()))
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs: run go generate ./server/openapi", file.Name())
		}
	}
}
