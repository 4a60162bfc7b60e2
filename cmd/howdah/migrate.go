package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/howdah/howdah/migrations"
	"github.com/howdah/howdah/storage/postgres"
	"github.com/howdah/howdah/storage/sqlite"
)

func newMigrate() *cobra.Command {
	target := &migrateTarget{}
	command := &cobra.Command{
		Use:   "migrate",
		Short: "Look at the database's schema or bring it up to date",
		Long: `Look at the database's schema or bring it up to date.

A server does this itself when it starts. The command is for those who let one
database role change the schema and another serve.`,
	}
	flags := command.PersistentFlags()
	flags.StringVar(&target.endpoint, "datastore-endpoint", "", "PostgreSQL, as for howdah server; empty: SQLite in --data-dir")
	flags.StringVar(&target.dataDir, "data-dir", defaultDataDir(), "directory of the embedded database")
	target.log.add(flags)
	command.AddCommand(
		&cobra.Command{Use: "up", Short: "Apply the migrations that are pending", Args: cobra.NoArgs, RunE: target.up},
		&cobra.Command{Use: "status", Short: "List the migrations", Args: cobra.NoArgs, RunE: target.status},
	)
	return command
}

// migrateTarget is the database that the flags name.
type migrateTarget struct {
	endpoint, dataDir string
	log               logFlags
}

func (t *migrateTarget) up(command *cobra.Command, _ []string) error {
	ctx := command.Context()
	logger, err := t.log.logger(command.ErrOrStderr())
	if err != nil {
		return err
	}
	if endpoint := t.postgres(); endpoint != "" {
		err = postgres.Migrate(ctx, endpoint, logger)
	} else {
		err = sqlite.Migrate(ctx, t.sqlite(), logger)
	}
	if err != nil {
		return err
	}
	return t.print(ctx, command.OutOrStdout(), logger)
}

func (t *migrateTarget) status(command *cobra.Command, _ []string) error {
	logger, err := t.log.logger(command.ErrOrStderr())
	if err != nil {
		return err
	}
	return t.print(command.Context(), command.OutOrStdout(), logger)
}

func (t *migrateTarget) print(ctx context.Context, out io.Writer, logger *slog.Logger) error {
	var list []migrations.Status
	var err error
	if endpoint := t.postgres(); endpoint != "" {
		list, err = postgres.Migrations(ctx, endpoint, logger)
	} else {
		list, err = sqlite.Migrations(ctx, t.sqlite(), logger)
	}
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "MIGRATION\tAPPLIED")
	for _, migration := range list {
		applied := "pending"
		if !migration.Applied.IsZero() {
			applied = migration.Applied.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\n", migration.Name, applied)
	}
	return table.Flush()
}

func (t *migrateTarget) postgres() string {
	return cmp.Or(t.endpoint, os.Getenv(endpointVariable))
}

func (t *migrateTarget) sqlite() string { return filepath.Join(t.dataDir, "howdah.db") }
