package sqlite

import (
	"context"
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/howdah/howdah/storage"
)

// classify wraps err in the class that callers test for. An error it doesn't
// know stays unknown.
func classify(ctx context.Context, what string, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("SQLite: %s: %w", what, ctx.Err())
	case unavailable(err):
		return fmt.Errorf("SQLite: %s: %w: %w", what, storage.ErrUnavailable, err)
	default:
		return fmt.Errorf("SQLite: %s: %w", what, err)
	}
}

// unavailable: the file or its disk refuses for now.
func unavailable(err error) bool {
	var failure *driver.Error
	if !errors.As(err, &failure) {
		return false
	}
	switch failure.Code() & 0xff {
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED, codes.SQLITE_NOMEM, codes.SQLITE_READONLY,
		codes.SQLITE_IOERR, codes.SQLITE_FULL, codes.SQLITE_CANTOPEN, codes.SQLITE_INTERRUPT:
		return true
	}
	return false
}
