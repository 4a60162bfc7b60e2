package reconcile

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/client-go/tools/cache"
)

// Together lets controllers that start at the same time listen together: client-go
// gives each handler of an informer two goroutines and a queue of 16 KB, and wakes
// both for each event; some twenty controllers handle Pods. Handlers are so called one
// after the other, by one goroutine for each informer, and must not wait for anything
// but locks that are held for a moment.
//
// A controller that is set up anew, after a panic, listens by itself.
type Together struct {
	mu        sync.Mutex
	audiences map[cache.Store]*audience // by what tells informers apart: factories wrap them anew each time
	missing   int                       // controllers that are still to be set up
	seated    chan struct{}             // closed when none is
	err       error                     // once they are seated
}

// NewTogether is for so many controllers.
func NewTogether(controllers int) *Together {
	return &Together{audiences: map[cache.Store]*audience{}, missing: controllers, seated: make(chan struct{})}
}

// add takes a handler, unless the others listen already.
func (t *Together) add(informer cache.SharedIndexInformer, handler *guarded) (registration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.missing == 0 {
		return nil, false
	}
	a := t.audiences[informer.GetStore()]
	if a == nil {
		a = &audience{informer: informer}
		t.audiences[informer.GetStore()] = a
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.handlers = append(a.handlers, handler)
	return seat{a, handler}, true
}

// ready says that a controller was set up, or won't be now. After the last one all
// listen.
func (t *Together) ready() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.missing--; t.missing > 0 {
		return
	}
	defer close(t.seated)
	for _, a := range t.audiences {
		if t.err = a.listen(); t.err != nil {
			return
		}
	}
}

// wait returns when all listen.
func (t *Together) wait(ctx context.Context) error {
	select {
	case <-t.seated:
		return t.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// audience is the handlers of one informer.
type audience struct {
	informer cache.SharedIndexInformer

	mu       sync.RWMutex
	handlers []*guarded
	own      single // once all are seated
}

func (a *audience) listen() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.handlers) == 0 {
		return nil // all have gone again
	}
	var err error
	a.own, err = listen(a.informer, a)
	return err
}

func (a *audience) each(call func(*guarded)) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, handler := range a.handlers {
		call(handler)
	}
}

// OnAdd implements [cache.ResourceEventHandler].
func (a *audience) OnAdd(object any, initial bool) {
	a.each(func(g *guarded) { g.OnAdd(object, initial) })
}

// OnUpdate implements [cache.ResourceEventHandler].
func (a *audience) OnUpdate(before, after any) {
	a.each(func(g *guarded) { g.OnUpdate(before, after) })
}

// OnDelete implements [cache.ResourceEventHandler].
func (a *audience) OnDelete(object any) { a.each(func(g *guarded) { g.OnDelete(object) }) }

// A registration is a handler's place at an informer.
type registration interface {
	synced() cache.DoneChecker // that the handler was told of all there is
	remove()
}

// single is the place of a handler that listens by itself.
type single struct {
	informer cache.SharedInformer
	handle   cache.ResourceEventHandlerRegistration
}

// listen has a handler listen by itself.
func listen(informer cache.SharedInformer, handler cache.ResourceEventHandler) (single, error) {
	handle, err := informer.AddEventHandler(handler)
	if err != nil {
		return single{}, fmt.Errorf("handle an informer's events: %w", err)
	}
	return single{informer, handle}, nil
}

func (s single) synced() cache.DoneChecker { return s.handle.HasSyncedChecker() }

// It fails only for handlers of other informers.
func (s single) remove() { _ = s.informer.RemoveEventHandler(s.handle) }

// seat is a handler's place in an audience.
type seat struct {
	*audience
	handler *guarded
}

func (s seat) synced() cache.DoneChecker { return s.own.synced() }

func (s seat) remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers = slices.DeleteFunc(s.handlers, func(g *guarded) bool { return g == s.handler })
	if len(s.handlers) == 0 && s.own.handle != nil {
		s.own.remove()
	}
}
