package sqlite

import (
	"context"
	stdsql "database/sql"
	"errors"

	"github.com/howdah/howdah/storage"
)

// writer is the connection that writes. It prepares each statement once.
type writer struct {
	conn       *stdsql.Conn
	statements map[string]*stdsql.Stmt
}

func (d *Driver) prepare(ctx context.Context) (*writer, error) {
	conn, err := d.write.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &writer{conn: conn, statements: map[string]*stdsql.Stmt{}}, nil
}

func (w *writer) statement(ctx context.Context, text string) (*stdsql.Stmt, error) {
	if statement, ok := w.statements[text]; ok {
		return statement, nil
	}
	statement, err := w.conn.PrepareContext(ctx, text)
	if err == nil {
		w.statements[text] = statement
	}
	return statement, err
}

func (w *writer) exec(ctx context.Context, text string, args ...any) error {
	statement, err := w.statement(ctx, text)
	if err != nil {
		return err
	}
	_, err = statement.ExecContext(ctx, args...)
	return err
}

// get scans one row; it says whether there is one.
func (w *writer) get(ctx context.Context, text string, args []any, into ...any) (bool, error) {
	statement, err := w.statement(ctx, text)
	if err != nil {
		return false, err
	}
	err = statement.QueryRowContext(ctx, args...).Scan(into...)
	if errors.Is(err, stdsql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (w *writer) close() error {
	var errs []error
	for _, statement := range w.statements {
		errs = append(errs, statement.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

// transact runs f in a transaction. Once begun it isn't cancelled with ctx: it
// is short, and its outcome is known that way.
func (d *Driver) transact(ctx context.Context, what string, f func(ctx context.Context, w *writer) error) error {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.writer == nil {
		return d.fail(ctx, what, storage.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return d.fail(ctx, what, err)
	}
	ctx = context.WithoutCancel(ctx)
	if err := d.writer.exec(ctx, d.queries.Begin); err != nil {
		return d.fail(ctx, what, err)
	}
	err := f(ctx, d.writer)
	if err == nil {
		if err = d.writer.exec(ctx, d.queries.Commit); err == nil {
			return nil
		}
	}
	if undo := d.writer.exec(ctx, d.queries.Rollback); undo != nil {
		// SQLite rolls back by itself after some errors, such as a full disk.
		d.logger.Debug("Rolling back failed", "error", undo)
	}
	return d.fail(ctx, what, err)
}
