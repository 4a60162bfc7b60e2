package main

import (
	"context"
	"log/slog"
	"net/http"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"

	"github.com/howdah/howdah/server/component"
)

// run works as the flags say, beside the port for health, metrics and the paths,
// until ctx ends.
func (f *componentFlags) run(ctx context.Context, client kubernetes.Interface, paths map[string]http.Handler, log *slog.Logger, work func(context.Context) error) error {
	serving, watchDog := f.endpoint(client, paths, log)
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return serving.Serve(ctx) })
	all.Go(func() error {
		if !f.leaderElect {
			return work(ctx)
		}
		f.election.WatchDog = watchDog
		return component.Lead(ctx, client, f.election, log, work)
	})
	return all.Wait()
}

// contextCheck is the election's health check in the form of ours.
func contextCheck(check *leaderelection.HealthzAdaptor) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "/healthz", http.NoBody)
		if err != nil {
			return err
		}
		return check.Check(request)
	}
}
