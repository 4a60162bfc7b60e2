// Command howdah is a Kubernetes control plane in one binary that keeps its
// state in PostgreSQL. This package owns the command line and nothing else.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // time zones of CronJobs, where the system has none

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for a clean stop; from then on signals do what
	// they do by default, so a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "howdah:", err)
		return 1
	}
	return 0
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "howdah",
		Short:         "A Kubernetes control plane that keeps its state in PostgreSQL",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(newServer(), newControllerManager(), newScheduler(), newMigrate(), newVersion())
	return root
}
