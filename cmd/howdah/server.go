package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/howdah/howdah/server"
	"github.com/howdah/howdah/server/zpages"
)

// startTimeout bounds opening the database and loading what it holds.
const startTimeout = 5 * time.Minute

func newServer() *cobra.Command {
	flags := &serverFlags{}
	command := &cobra.Command{
		Use:   "server",
		Short: "Run the control plane",
		Long: `Run the control plane.

Without flags it keeps its state in an embedded SQLite database and serves on
port 6443. With --datastore-endpoint it keeps its state in PostgreSQL; any number
of servers can share one database.`,
		Example: `  howdah server --data-dir ./data
  howdah server --datastore-endpoint 'postgres://howdah@db.example.org/howdah?sslmode=verify-full'`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			options, err := flags.options()
			if err != nil {
				return err
			}
			options.Flags = zpages.Flags(command.Flags(), "datastore-endpoint")
			if options.Logger, err = flags.log.logger(command.ErrOrStderr()); err != nil {
				return err
			}
			return serve(command, options)
		},
	}
	flags.add(command.Flags())
	return command
}

// serve runs a server until the command's context ends.
func serve(command *cobra.Command, options server.Options) error {
	ctx := command.Context()
	s, err := server.New(options)
	if err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, startTimeout)
	err = s.Start(starting)
	cancel()
	if err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop while starting
		}
		return fmt.Errorf("start the server: %w", err)
	}
	kubeconfig, err := filepath.Abs(s.AdminKubeconfig())
	if err != nil {
		kubeconfig = s.AdminKubeconfig()
	}
	go collectSeldom(ctx)
	go giveBackMemory(ctx)
	options.Logger.Info("ready", "port", s.Port(), "kubeconfig", kubeconfig)
	fmt.Fprintf(command.OutOrStdout(), "Howdah is ready on port %d. Use it with\n\n  export KUBECONFIG=%s\n\n", s.Port(), kubeconfig)

	defer settle(options.Logger)()
	var failure error
	select {
	case <-ctx.Done():
		options.Logger.Info("stopping; a second signal stops at once")
	case failure = <-s.Failed():
	}
	// Each step of the stop has its own bound.
	if err := s.Stop(context.WithoutCancel(ctx)); err != nil {
		options.Logger.Warn("the stop was not clean", "err", err)
	}
	if failure == nil {
		options.Logger.Info("stopped")
	}
	return failure
}

// defaultDataDir is where services keep their data, or a user's own place.
func defaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/howdah"
	}
	if data := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "howdah")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "" // the server then says that --data-dir is needed
	}
	return filepath.Join(home, ".local", "share", "howdah")
}
