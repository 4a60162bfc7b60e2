package reconcile

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/component-base/metrics/prometheus/controllers"
)

// Pauses before a controller that failed is set up again. One that has worked
// for longer than the longest starts with the shortest again.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// Run keeps a controller alive until ctx ends. identify adds to what is given
// the clients with the controller's identity, before each life.
func Run(ctx context.Context, name string, given Given, identify func(*Given) error, setup Setup) {
	measure()
	if given.Together == nil {
		given.Together = NewTogether(1)
	}
	ready := sync.OnceFunc(given.Together.ready)
	defer ready()
	running := controllers.NewControllerManagerMetrics("kube-controller-manager")
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, lastPause) {
		g := given
		err := identify(&g)
		if err == nil {
			began := g.Clock.Now()
			running.ControllerStarted(name)
			err = (&Controller{Given: g, name: name}).live(ctx, setup, ready)
			running.ControllerStopped(name)
			if g.Clock.Since(began) > lastPause {
				pause = firstPause
			}
		}
		ready() // the others don't wait for its next life
		if ctx.Err() != nil {
			return
		}
		var panic *panicked
		if errors.As(err, &panic) {
			panics.WithLabelValues(name).Inc()
			g.Log.Error("a controller panicked, starting it again", "controller", name, "in", pause, "panic", panic.cause, "stack", string(panic.stack))
		} else {
			g.Log.Warn("a controller can't start, trying again", "controller", name, "in", pause, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-g.Clock.After(pause):
		}
	}
}

var panics = metrics.NewCounterVec(&metrics.CounterOpts{
	Name:           "howdah_controller_panics_total",
	Help:           "Panics of controllers, each of which started the controller again.",
	StabilityLevel: metrics.ALPHA,
}, []string{"name"})

var measure = sync.OnceFunc(func() {
	controllers.Register()
	legacyregistry.MustRegister(panics)
})
