// Package controllers owns which controllers there are, under which identity
// each works, and that they run: [Run] runs those that --controllers selects,
// each isolated from the others' failures. What a controller does is in its own
// package below; how it lives is in [reconcile].
package controllers

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/reconcile"
	"github.com/howdah/howdah/server/component"
)

// LeaseName is the Lease that kube-controller-manager's leaders hold.
const LeaseName = "kube-controller-manager"

// Identities make the access to the API of a service account of kube-system, or,
// for "", of the controller manager itself.
type Identities func(account string) (*rest.Config, error)

// Run runs the controllers until ctx ends, and returns when all have ended. It
// must run in one process of a cluster at a time, see [component.Lead].
func Run(ctx context.Context, o *Options, as Identities, shared *component.Informers, log *slog.Logger) error {
	rows, err := o.selected()
	if err != nil {
		return err
	}
	informers, release := shared.Use()
	defer release()
	given := reconcile.Given{Informers: informers, Together: reconcile.NewTogether(len(rows)), Clock: clock.RealClock{}, Log: log}
	var running sync.WaitGroup
	defer running.Wait()
	for _, r := range rows {
		running.Go(func() {
			reconcile.Run(ctx, r.name, given, func(g *reconcile.Given) error { return identify(ctx, g, r.account, as) }, r.setup)
		})
	}
	<-ctx.Done()
	return nil
}

func identify(ctx context.Context, g *reconcile.Given, account string, as Identities) error {
	config, err := as(account)
	if err != nil {
		return fmt.Errorf("work as the service account kube-system/%s: %w", account, err)
	}
	config = component.Fenced(ctx, config)
	g.Config = config
	if g.Client, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if g.Metadata, err = metadata.NewForConfig(config); err != nil {
		return fmt.Errorf("make a metadata client: %w", err)
	}
	return nil
}
