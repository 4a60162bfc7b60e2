package sqlite

import (
	"context"
	stdsql "database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/howdah/howdah/migrations"
)

// Migrate brings the schema of the file up to date, as opening a driver does.
func Migrate(ctx context.Context, path string, logger *slog.Logger) error {
	return withDatabase(path, func(db *stdsql.DB) error { return migrate(ctx, db, logger) })
}

// Migrations says which migrations the schema of the file has.
func Migrations(ctx context.Context, path string, logger *slog.Logger) (list []migrations.Status, err error) {
	err = withDatabase(path, func(db *stdsql.DB) error {
		provider, err := provider(db, logger)
		if err != nil {
			return err
		}
		list, err = migrations.List(ctx, provider)
		return err
	})
	return list, err
}

func withDatabase(path string, f func(*stdsql.DB) error) error {
	path, err := resolve(path)
	if err != nil {
		return err
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	db, err := database(path, 1)
	if err != nil {
		return err
	}
	return errors.Join(f(db), db.Close())
}

func migrate(ctx context.Context, db *stdsql.DB, logger *slog.Logger) error {
	provider, err := provider(db, logger)
	if err != nil {
		return err
	}
	if err := migrations.Up(ctx, provider); err != nil {
		return classify(ctx, "migrate", err)
	}
	return nil
}

func provider(db *stdsql.DB, logger *slog.Logger) (*goose.Provider, error) {
	files, err := files()
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithTableName("migrations"), goose.WithDisableGlobalRegistry(true), goose.WithSlog(logger))
}

func files() (fs.FS, error) { return migrations.Files("sqlite", strings.NewReplacer()) }
