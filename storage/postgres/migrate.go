package postgres

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/howdah/howdah/migrations"
)

// migrateTimeout bounds the wait for another server's migration and our own.
const migrateTimeout = 5 * time.Minute

// Migrate brings the schema of the endpoint up to date. Opening a driver does
// the same; this is for those who let another role migrate than serve.
func Migrate(ctx context.Context, endpoint string, logger *slog.Logger) error {
	return withDatabase(ctx, endpoint, logger, func(config *pgx.ConnConfig, schema string) error {
		return migrate(ctx, config, schema, logger)
	})
}

// Migrations says which migrations the schema of the endpoint has.
func Migrations(ctx context.Context, endpoint string, logger *slog.Logger) ([]migrations.Status, error) {
	var list []migrations.Status
	err := withDatabase(ctx, endpoint, logger, func(config *pgx.ConnConfig, schema string) error {
		db := open(config)
		defer db.Close()
		exists, err := schemaExists(ctx, db, schema)
		if err != nil {
			return classify(ctx, "look for the schema", err)
		}
		provider, err := provider(db, schema, logger)
		if err != nil {
			return err
		}
		if !exists {
			for _, source := range provider.ListSources() {
				list = append(list, migrations.Status{Version: source.Version, Name: source.Path})
			}
			return nil
		}
		if list, err = migrations.List(ctx, provider); err != nil {
			return classify(ctx, "list migrations", err)
		}
		return nil
	})
	return list, err
}

func withDatabase(ctx context.Context, endpoint string, logger *slog.Logger, f func(config *pgx.ConnConfig, schema string) error) error {
	config, schema, err := parse(endpoint)
	if err != nil {
		return err
	}
	pool, config, err := connect(ctx, config, logger)
	if err != nil {
		return err
	}
	pool.Close()
	return f(config.ConnConfig, schema)
}

// migrate lets one server at a time migrate the schema. The lock is held by an
// open transaction on a connection of its own, not by a session, which a pooler
// would hand to others.
func migrate(ctx context.Context, config *pgx.ConnConfig, schema string, logger *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	db := open(config)
	defer db.Close()

	lock, err := db.BeginTx(ctx, nil)
	if err != nil {
		return classify(ctx, "migrate", err)
	}
	defer lock.Rollback()
	for _, statement := range []string{
		"set local statement_timeout = 0",
		"set local lock_timeout = 0",
		"set local idle_in_transaction_session_timeout = 0",
		fmt.Sprintf("select pg_advisory_xact_lock(%d)", lockKey(schema)),
	} {
		if _, err := lock.ExecContext(ctx, statement); err != nil {
			return classify(ctx, "lock the schema to migrate it", err)
		}
	}

	// Asked first: creating needs a right on the database that a server with a
	// ready schema need not have.
	if exists, err := schemaExists(ctx, db, schema); err != nil {
		return classify(ctx, "look for the schema", err)
	} else if !exists {
		if _, err := db.ExecContext(ctx, "create schema if not exists "+schema); err != nil {
			return classify(ctx, fmt.Sprintf("create schema %s (grant CREATE on the database, or create it and name its owner this role)", schema), err)
		}
	}
	provider, err := provider(db, schema, logger)
	if err != nil {
		return err
	}
	if err := migrations.Up(ctx, provider); err != nil {
		if errors.Is(err, migrations.ErrNewerSchema) {
			return err
		}
		return classify(ctx, "migrate schema "+schema, err)
	}
	return nil
}

func schemaExists(ctx context.Context, db *stdsql.DB, schema string) (exists bool, err error) {
	err = db.QueryRowContext(ctx, "select exists (select from pg_namespace where nspname = $1::text)", schema).Scan(&exists)
	return exists, err
}

// open makes connections for goose. Migrations may take longer than a query may.
func open(config *pgx.ConnConfig) *stdsql.DB {
	config = config.Copy()
	if _, ok := config.RuntimeParams["statement_timeout"]; ok {
		config.RuntimeParams["statement_timeout"] = milliseconds(migrateTimeout)
	}
	return stdlib.OpenDB(*config)
}

func provider(db *stdsql.DB, schema string, logger *slog.Logger) (*goose.Provider, error) {
	files, err := files(schema)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(database.DialectPostgres, db, files,
		goose.WithTableName(schema+".migrations"), goose.WithDisableGlobalRegistry(true), goose.WithSlog(logger))
}

func files(schema string) (fs.FS, error) { return migrations.Files("postgres", replacer(schema, "")) }

// lockKey of the advisory lock; such locks belong to the whole database.
func lockKey(schema string) int64 {
	hash := fnv.New64a()
	hash.Write([]byte("howdah migrations " + schema))
	return int64(hash.Sum64())
}
