package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/server/component"
)

// Given is what a controller works with.
type Given struct {
	// Config makes clients with the controller's own identity, where Client and
	// Metadata aren't enough.
	Config   *rest.Config
	Client   kubernetes.Interface
	Metadata metadata.Interface
	// Informers are shared by all controllers of the process; their objects
	// must not be changed and have no managedFields.
	Informers *component.SharedInformers
	Together  *Together // with whom it listens; by default alone
	Clock     clock.WithTickerAndDelayedExecution
	Log       *slog.Logger
}

// Setup registers what a controller does. It runs again after each panic.
type Setup func(*Controller) error

// A Controller is one life of a controller.
type Controller struct {
	Given
	name     string
	handlers []registration
	needed   []cache.DoneChecker
	loops    []func(context.Context)
	ends     []func() // what to undo, last first
	events   events
	fail     context.CancelCauseFunc
}

// Name is the controller's name, as in --controllers.
func (c *Controller) Name() string { return c.name }

// Handle calls the handler for what the informer tells, from everything there
// is on. Loops and workers start once it has been told of that.
func (c *Controller) Handle(informer cache.SharedIndexInformer, handler cache.ResourceEventHandler) error {
	own := &guarded{c, handler}
	if place, ok := c.Together.add(informer, own); ok {
		c.handlers = append(c.handlers, place)
		return nil
	}
	place, err := listen(informer, own)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	c.handlers = append(c.handlers, place)
	return nil
}

// Need makes loops and workers wait until the informer is filled.
func (c *Controller) Need(informers ...cache.SharedIndexInformer) error {
	for _, informer := range informers {
		c.needed = append(c.needed, informer.HasSyncedChecker())
	}
	return nil
}

// Loop runs a function once the informers are filled. It must return when its
// context ends.
func (c *Controller) Loop(run func(context.Context)) { c.loops = append(c.loops, run) }

// Every runs a function now and then, with a pause in between.
func (c *Controller) Every(pause time.Duration, run func(context.Context)) {
	c.Loop(func(ctx context.Context) {
		for ctx.Err() == nil {
			run(ctx)
			select {
			case <-ctx.Done():
			case <-c.Clock.After(pause):
			}
		}
	})
}

// OnEnd runs a function when this life ends, after all loops have returned.
func (c *Controller) OnEnd(undo func()) { c.ends = append(c.ends, undo) }

// live sets the controller up, calls ready, and runs it until ctx ends or something
// panics, whose error it returns.
func (c *Controller) live(ctx context.Context, setup Setup, ready func()) (err error) {
	ctx, c.fail = context.WithCancelCause(ctx)
	defer func() {
		c.fail(nil)
		for _, r := range c.handlers {
			r.remove()
		}
		c.events.end()
		for i := len(c.ends) - 1; i >= 0; i-- {
			c.ends[i]()
		}
	}()
	c.Guard(func() { err = setup(c) })
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ready()
	if err := c.Together.wait(ctx); err != nil {
		return err
	}
	c.Informers.Run()
	synced := c.needed
	for _, r := range c.handlers {
		synced = append(synced, r.synced())
	}
	if !cache.WaitFor(ctx, "", synced...) {
		return context.Cause(ctx)
	}
	c.Log.Debug("controller works", "controller", c.name)
	var running sync.WaitGroup
	for _, loop := range c.loops {
		running.Go(func() { c.Guard(func() { loop(ctx) }) })
	}
	<-ctx.Done()
	running.Wait()
	return context.Cause(ctx)
}

// panicked is what ends a life early.
type panicked struct {
	cause any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.cause) }

// Guard runs what a controller does in a goroutine of its own; a panic there
// ends the controller's life. Loops, workers and handlers are guarded already.
func (c *Controller) Guard(run func()) {
	defer func() {
		if cause := recover(); cause != nil {
			c.fail(&panicked{cause, debug.Stack()})
		}
	}()
	run()
}

// guarded keeps a handler's panic from the informer, which others share.
type guarded struct {
	c       *Controller
	handler cache.ResourceEventHandler
}

func (g *guarded) OnAdd(object any, initial bool) {
	g.c.Guard(func() { g.handler.OnAdd(object, initial) })
}

func (g *guarded) OnUpdate(before, after any) {
	g.c.Guard(func() { g.handler.OnUpdate(before, after) })
}

func (g *guarded) OnDelete(object any) { g.c.Guard(func() { g.handler.OnDelete(object) }) }
