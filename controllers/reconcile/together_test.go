package reconcile

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
)

// counted is an informer that counts its listeners.
type counted struct {
	cache.SharedIndexInformer
	*listeners
}

type listeners struct{ ever, now atomic.Int64 }

func (c counted) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	c.ever.Add(1)
	c.now.Add(1)
	return c.SharedIndexInformer.AddEventHandler(handler)
}

func (c counted) RemoveEventHandler(handle cache.ResourceEventHandlerRegistration) error {
	c.now.Add(-1)
	return c.SharedIndexInformer.RemoveEventHandler(handle)
}

// TestTogether: controllers that start together are all told of everything by one
// listener, which goes with the last of them.
func TestTogether(t *testing.T) {
	s := newStage(t)
	s.create(t, "first")
	var counts listeners
	const controllers = 3
	s.given.Together = NewTogether(controllers)
	told := make([]chan string, controllers)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range told {
		told[i] = make(chan string, 10)
		running.Go(func() {
			Run(ctx, "one", s.given, func(*Given) error { return nil }, func(c *Controller) error {
				// Each time that it is asked for, it is another object.
				informer := counted{c.Informers.Core().V1().Namespaces().Informer(), &counts}
				return c.Handle(informer, Each(func(n *corev1.Namespace) { told[i] <- n.Name }))
			})
		})
	}
	for i := range told {
		if got := <-told[i]; got != "first" {
			t.Errorf("controller %d saw %q", i, got)
		}
	}
	s.create(t, "second")
	for i := range told {
		if got := <-told[i]; got != "second" {
			t.Errorf("controller %d saw %q", i, got)
		}
	}
	if counts.ever.Load() != 1 {
		t.Errorf("%d listeners", counts.ever.Load())
	}
	cancel()
	running.Wait()
	if counts.now.Load() != 0 {
		t.Errorf("%d listeners are left", counts.now.Load())
	}
}

// TestTogetherAlone: a controller that can't start at first leaves no listener behind.
func TestTogetherAlone(t *testing.T) {
	s := newStage(t)
	s.create(t, "first")
	s.given.Together = NewTogether(1)
	var counts listeners
	told := make(chan string, 10)
	var lives atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Run(ctx, "one", s.given, func(*Given) error { return nil }, func(c *Controller) error {
			informer := counted{c.Informers.Core().V1().Namespaces().Informer(), &counts}
			if err := c.Handle(informer, Each(func(n *corev1.Namespace) { told <- n.Name })); err != nil {
				return err
			}
			if lives.Add(1) == 1 {
				return errors.New("not yet")
			}
			return nil
		})
	}()
	for len(told) == 0 {
		s.clock.Step(firstPause)
		runtime.Gosched()
	}
	if got := <-told; got != "first" || counts.ever.Load() != 1 {
		t.Errorf("%d listeners, told of %q", counts.ever.Load(), got)
	}
	cancel()
	<-ended
	if counts.now.Load() != 0 {
		t.Errorf("%d listeners are left", counts.now.Load())
	}
}
