package reconcile

import (
	"context"
	"log/slog"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	_ "k8s.io/component-base/metrics/prometheus/workqueue" // workqueue_*
)

// A Queue holds keys that need work. A key that is added while it is worked on
// is worked on again afterwards; no two workers have the same key.
type Queue[K comparable] struct {
	workqueue.TypedRateLimitingInterface[K]
}

// NewQueue returns a queue whose keys the workers hand to work. A key whose
// work fails comes again after a pause that doubles from 5 ms to 1000 s, as in
// upstream's controllers, until it succeeds. The name is the label of the
// queue's metrics; upstream's where it has the queue.
func NewQueue[K comparable](c *Controller, name string, workers int, work func(context.Context, K) error) *Queue[K] {
	return NewQueueWithLimiter(c, name, workers, workqueue.DefaultTypedControllerRateLimiter[K](), work)
}

// NewQueueWithLimiter is NewQueue with other pauses after failures.
func NewQueueWithLimiter[K comparable](c *Controller, name string, workers int, limiter workqueue.TypedRateLimiter[K], work func(context.Context, K) error) *Queue[K] {
	q := &Queue[K]{workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[K]{Name: name, Clock: c.Clock})}
	c.OnEnd(q.ShutDown)
	c.Loop(func(ctx context.Context) {
		defer context.AfterFunc(ctx, q.ShutDown)() // which wakes the loop
		q.serve(ctx, c, workers, work)
	})
	return q
}

// serve has workers work on keys until the queue is shut. There are as many as
// there is work for: an idle one would cost its stack.
func (q *Queue[K]) serve(ctx context.Context, c *Controller, workers int, work func(context.Context, K) error) {
	var running sync.WaitGroup
	defer running.Wait()
	free := make(chan struct{}, workers)
	for {
		free <- struct{}{}
		key, shut := q.Get()
		if shut || ctx.Err() != nil {
			return
		}
		running.Go(func() {
			defer func() { <-free }()
			c.Guard(func() { q.work(ctx, c, key, work) })
		})
	}
}

func (q *Queue[K]) work(ctx context.Context, c *Controller, key K, work func(context.Context, K) error) {
	defer q.Done(key)
	err := work(ctx, key)
	switch {
	case err == nil:
		q.Forget(key)
	case ctx.Err() != nil:
	default:
		// Conflicts only say that the cache was a moment behind.
		level := slog.LevelWarn
		if apierrors.IsConflict(err) {
			level = slog.LevelDebug
		}
		c.Log.Log(ctx, level, "failed, trying again", "controller", c.name, "key", key, "err", Brief(err))
		q.AddRateLimited(key)
	}
}
