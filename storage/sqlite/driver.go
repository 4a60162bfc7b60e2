// Package sqlite keeps a store in an SQLite file, for one server.
//
// One connection writes, a few read (write-ahead log, so neither waits for the
// other), and a lock file keeps a second process out.
package sqlite

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	_ "modernc.org/sqlite" // the driver of database/sql

	"github.com/howdah/howdah/storage"
)

// readers is how many connections read.
const readers = 4

// Driver implements [storage.Driver].
type Driver struct {
	lock    *os.File
	read    *stdsql.DB
	write   *stdsql.DB
	queries *queries
	logger  *slog.Logger

	closing context.Context // done when Close was called
	close   context.CancelFunc

	mutex  sync.Mutex // one transaction at a time
	writer *writer
	closed error
	once   sync.Once
}

var _ storage.Driver = (*Driver)(nil)

// Open opens or makes the file and migrates its schema. The path may be given
// as sqlite:///path.
func Open(ctx context.Context, path string, logger *slog.Logger) (*Driver, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	d := &Driver{lock: lock, logger: logger}
	d.closing, d.close = context.WithCancel(context.Background())
	if err := d.open(ctx, path); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Driver) open(ctx context.Context, path string) (err error) {
	if d.queries, err = newQueries(); err != nil {
		return err
	}
	if d.write, err = database(path, 1); err != nil {
		return err
	}
	if err := migrate(ctx, d.write, d.logger); err != nil {
		return err
	}
	if d.writer, err = d.prepare(ctx); err != nil {
		return classify(ctx, "prepare", err)
	}
	d.read, err = database(path, readers, "query_only(true)")
	return err
}

// Close ends calls under way and closes the file. It may be repeated.
func (d *Driver) Close() error {
	d.once.Do(func() {
		d.close()
		d.mutex.Lock()
		defer d.mutex.Unlock()
		var errs []error
		if d.read != nil {
			errs = append(errs, d.read.Close())
		}
		if d.writer != nil {
			errs = append(errs, d.writer.close())
			d.writer = nil
		}
		if d.write != nil {
			errs = append(errs, d.write.Close())
		}
		// Last, so that the next process finds the file closed.
		d.closed = errors.Join(append(errs, d.lock.Close())...)
	})
	return d.closed
}

// resolve makes the file if there is none, readable by nobody else.
func resolve(path string) (string, error) {
	path = strings.TrimPrefix(path, "sqlite://")
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	// The write-ahead log takes over the mode of the file.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("SQLite file: %w", err)
	}
	return path, file.Close()
}

// database opens a pool of connections to the file.
func database(path string, connections int, pragmas ...string) (*stdsql.DB, error) {
	options := url.Values{"_pragma": append([]string{
		"busy_timeout(5000)",
		"journal_mode(WAL)",
		"synchronous(FULL)",
		// A long read lets the write-ahead log grow; afterwards it shrinks to this.
		"journal_size_limit(67108864)",
		"cache_size(-16384)",
	}, pragmas...)}
	location := url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}
	db, err := stdsql.Open("sqlite", location.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// bounded ends with ctx or when the driver is closed.
func (d *Driver) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(d.closing, cancel)
	return ctx, func() { stop(); cancel() }
}

// fail wraps the error of a call.
func (d *Driver) fail(ctx context.Context, what string, err error) error {
	if d.closing.Err() != nil {
		return fmt.Errorf("SQLite: %s: %w", what, storage.ErrClosed)
	}
	return classify(ctx, what, err)
}
