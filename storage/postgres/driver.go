// Package postgres keeps a store in PostgreSQL 13 or newer.
//
// A batch is one call of a function made by the migrations, so one round trip
// and one transaction. The function locks the one row of the table state first:
// batches are serial, and revision order is commit order. Deadlines bound every
// call, so that a frozen server or a cut network is noticed; a call whose
// connection was lost is repeated once on a new one, which is safe because
// every call is idempotent.
//
// A NOTIFY wakes other servers; the data they read from the log. Where no
// notifications arrive (PgBouncer in transaction mode) they ask every 50 ms.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/howdah/howdah/storage"
)

// minVersion of the server, as in server_version_num.
const minVersion = 130000

// Driver implements [storage.Driver].
type Driver struct {
	pool    *pgxpool.Pool
	config  *pgxpool.Config
	schema  string
	queries *queries
	logger  *slog.Logger

	closing context.Context // done when Close was called
	close   context.CancelFunc

	// origin of the last acknowledged batch: notifications of it are no news.
	// Empty when an outcome is unknown.
	origin atomic.Pointer[string]
	// lost is signalled when a commit failed, whose notification may have been
	// taken for old news.
	lost chan struct{}
}

var _ storage.Driver = (*Driver)(nil)

// Open connects, migrates the schema and returns the driver. The endpoint is
// what libpq takes; the store lives in the first schema of its search_path, or
// in "howdah".
func Open(ctx context.Context, endpoint string, logger *slog.Logger) (*Driver, error) {
	config, schema, err := parse(endpoint)
	if err != nil {
		return nil, err
	}
	pool, config, err := connect(ctx, config, logger)
	if err != nil {
		return nil, err
	}
	d := &Driver{pool: pool, config: config, schema: schema, logger: logger, lost: make(chan struct{}, 1)}
	d.closing, d.close = context.WithCancel(context.Background())
	if err := d.prepare(ctx); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// connect makes a pool and proves that it can connect.
func connect(ctx context.Context, config *pgxpool.Config, logger *slog.Logger) (*pgxpool.Pool, *pgxpool.Config, error) {
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, classify(ctx, "connect", err)
	}
	if err = pool.Ping(ctx); err == nil {
		return pool, config, nil
	}
	pool.Close()
	if !refusesSettings(err) {
		return nil, nil, classify(ctx, "connect", err)
	}
	logger.Info("The pooler in front of PostgreSQL refuses session settings; going on without them", "error", err)
	return connectPlain(ctx, withoutSettings(config))
}

func connectPlain(ctx context.Context, config *pgxpool.Config) (*pgxpool.Pool, *pgxpool.Config, error) {
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, classify(ctx, "connect", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, nil, classify(ctx, "connect", err)
	}
	return pool, config, nil
}

// prepare checks the server, migrates the schema and settles on the queries.
func (d *Driver) prepare(ctx context.Context) error {
	var version int
	err := d.pool.QueryRow(ctx, "select current_setting('server_version_num')::int").Scan(&version)
	if err != nil {
		return classify(ctx, "ask for the version", err)
	}
	if version < minVersion {
		return fmt.Errorf("PostgreSQL %d is too old: 13 or newer is needed", version/10000)
	}
	if err := migrate(ctx, d.config.ConnConfig, d.schema, d.logger); err != nil {
		return err
	}

	// Managed services may refuse to tell their timeline; then only the epoch in
	// the table speaks.
	line := "''"
	withLine, err := newQueries(d.schema, line)
	if err != nil {
		return err
	}
	var ignored string
	switch err := d.pool.QueryRow(ctx, withLine.Line).Scan(&ignored); {
	case err == nil:
		line = "'.' || (" + withLine.Line + ")"
	case errors.Is(classify(ctx, "", err), storage.ErrUnavailable):
		return classify(ctx, "ask for the timeline", err)
	default:
		d.logger.Info("PostgreSQL doesn't tell its timeline; a failover that loses commits is noticed only by revisions that go back", "error", err)
	}
	d.queries, err = newQueries(d.schema, line)
	return err
}

// Close ends calls under way and releases the connections. It may be repeated.
func (d *Driver) Close() error {
	d.close()
	d.pool.Close()
	return nil
}

const (
	// callTimeout is for calls that read or write a bounded, small number of rows.
	callTimeout = 10 * time.Second
	// scanTimeout is for calls that read or drop many.
	scanTimeout = 30 * time.Second
	// attempts of one call: connections that a restart of the server cut are
	// found out one after the other.
	attempts = 3
)

// try calls f until it works, fails for a reason that a repetition can't mend,
// or was tried often enough. All of the driver's calls are idempotent.
func (d *Driver) try(ctx context.Context, what string, timeout time.Duration, f func(ctx context.Context) error) error {
	ctx, cancel := d.bounded(ctx, timeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if d.closing.Err() != nil {
			return fmt.Errorf("%s: %w", what, storage.ErrClosed)
		}
		if stale(err) {
			// The other idle connections are cut, or lead to a former primary, too.
			d.pool.Reset()
		}
		if attempt == attempts || ctx.Err() != nil || !repeatable(err) {
			return classify(ctx, what, err)
		}
		d.logger.Debug("Repeating a call to PostgreSQL", "call", what, "error", err)
	}
}
