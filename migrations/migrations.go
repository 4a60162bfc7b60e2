// Package migrations owns the schema of the store as goose migrations. Equal
// numbers mean an equal schema in both engines.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// Files are the migrations of an engine ("postgres" or "sqlite"). The replacer
// fills in what differs between stores of one database, such as the schema.
func Files(engine string, replacer *strings.Replacer) (fs.FS, error) {
	sub, err := fs.Sub(files, engine)
	if err != nil {
		return nil, err
	}
	return rendered{sub, replacer}, nil
}

// Status is what became of one migration.
type Status struct {
	Version int64
	Name    string
	Applied time.Time // zero: not yet
}

// ErrNewerSchema: a newer release has migrated the store.
var ErrNewerSchema = errors.New("the schema of the store is newer than this release")

// Up applies what is pending. It refuses a schema that is newer than the
// migrations it knows, because this release would write it wrongly.
func Up(ctx context.Context, provider *goose.Provider) error {
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return fmt.Errorf("%w: it is at version %d, this release knows %d; run a release that knows it, or restore a backup",
			ErrNewerSchema, current, target)
	}
	if current == target {
		return nil
	}
	_, err = provider.Up(ctx)
	return err
}

// List says which migrations are applied.
func List(ctx context.Context, provider *goose.Provider) ([]Status, error) {
	all, err := provider.Status(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Status, 0, len(all))
	for _, m := range all {
		list = append(list, Status{Version: m.Source.Version, Name: path.Base(m.Source.Path), Applied: m.AppliedAt})
	}
	return list, nil
}

// rendered is a file system whose files have passed the replacer.
type rendered struct {
	fs.FS
	replacer *strings.Replacer
}

func (r rendered) Open(name string) (fs.File, error) {
	file, err := r.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || info.IsDir() {
		return file, err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	return renderedFile{file, strings.NewReader(r.replacer.Replace(string(text)))}, nil
}

// ReadFile hides the embedded one, which doesn't know the replacer.
func (r rendered) ReadFile(name string) ([]byte, error) {
	file, err := r.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}

type renderedFile struct {
	fs.File
	text *strings.Reader
}

func (f renderedFile) Read(p []byte) (int, error) { return f.text.Read(p) }
