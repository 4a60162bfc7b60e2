package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/component-base/metrics/testutil"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/howdah/howdah/server/component"
)

// stage is what controllers of a test share.
type stage struct {
	client *fake.Clientset
	clock  *clocktesting.FakeClock
	given  Given
}

func newStage(t *testing.T) *stage {
	client := fake.NewSimpleClientset()
	clock := clocktesting.NewFakeClock(metav1.Now().Time)
	shared, release := component.NewInformers(client).Use()
	t.Cleanup(release)
	return &stage{client, clock, Given{
		Client: client, Informers: shared, Clock: clock,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}}
}

// run runs a controller until the test ends.
func (s *stage) run(t *testing.T, name string, setup Setup) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Run(ctx, name, s.given, func(*Given) error { return nil }, setup)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

func (s *stage) create(t *testing.T, name string) {
	t.Helper()
	if _, err := s.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// seen is a controller that tells of every namespace it works on.
func seen(told chan<- string, work func(name string) error) Setup {
	return func(c *Controller) error {
		queue := NewQueue(c, c.Name(), 2, func(_ context.Context, name string) error {
			err := work(name)
			if err == nil {
				told <- name
			}
			return err
		})
		return c.Handle(c.Informers.Core().V1().Namespaces().Informer(), Each(func(n *corev1.Namespace) { queue.Add(n.Name) }))
	}
}

func TestPanicRestartsOneController(t *testing.T) {
	for _, where := range []string{"setup", "handler", "worker", "loop", "setup, together", "handler, together", "worker, together", "loop, together"} {
		t.Run(where, func(t *testing.T) {
			s := newStage(t)
			where, together := strings.CutSuffix(where, ", together")
			if together {
				s.given.Together = NewTogether(2)
			}
			s.create(t, "first")
			counted := func() float64 {
				count, err := testutil.GetCounterMetricValue(panics.WithLabelValues("shaky-" + where))
				if err != nil {
					t.Fatal(err)
				}
				return count
			}
			steady, shaky := make(chan string, 10), make(chan string, 10)
			s.run(t, "steady", seen(steady, func(string) error { return nil }))
			var lives atomic.Int64
			measure()
			before := counted()
			s.run(t, "shaky-"+where, func(c *Controller) error {
				at := func(place string, life int64) {
					if place == where && life == 1 {
						panic("on purpose")
					}
				}
				life := lives.Add(1)
				at("setup", life)
				c.Loop(func(context.Context) { at("loop", life) })
				if err := c.Handle(c.Informers.Core().V1().Namespaces().Informer(), Each(func(*corev1.Namespace) { at("handler", life) })); err != nil {
					return err
				}
				return seen(shaky, func(string) error { at("worker", life); return nil })(c)
			})
			if got := <-steady; got != "first" {
				t.Errorf("the other controller saw %q", got)
			}
			for s.clock.HasWaiters(); lives.Load() < 2; {
				s.clock.Step(firstPause)
			}
			for <-shaky != "first" {
			}
			s.create(t, "second")
			if got := <-steady; got != "second" {
				t.Errorf("the other controller saw %q", got)
			}
			for <-shaky != "second" {
			}
			if got := counted() - before; got != 1 {
				t.Errorf("%v panics were counted", got)
			}
		})
	}
}

func TestFailureComesAgain(t *testing.T) {
	s := newStage(t)
	told := make(chan string, 1)
	var tries atomic.Int64
	s.run(t, "failing", seen(told, func(string) error {
		if tries.Add(1) < 3 {
			return errors.New("not yet")
		}
		return nil
	}))
	s.create(t, "a")
	for {
		select {
		case <-told:
			return
		default:
			s.clock.Step(firstPause)
		}
	}
}

func TestNoIdentity(t *testing.T) {
	s := newStage(t)
	told := make(chan string, 1)
	s.create(t, "a")
	var tries atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Run(ctx, "anonymous", s.given, func(*Given) error {
			if tries.Add(1) == 1 {
				return errors.New("no token")
			}
			return nil
		}, seen(told, func(string) error { return nil }))
	}()
	for tries.Load() < 2 {
		s.clock.Step(firstPause)
	}
	<-told
	cancel()
	<-ended
}

// TestEveryPauses: what compares the times of two runs can rely on the pause
// between them.
func TestEveryPauses(t *testing.T) {
	s := newStage(t)
	const pause, takes = 5 * time.Second, 3 * time.Second
	runs := make(chan time.Time)
	s.run(t, "pausing", func(c *Controller) error {
		c.Every(pause, func(ctx context.Context) {
			select {
			case runs <- s.clock.Now():
				s.clock.Step(takes)
			case <-ctx.Done():
			}
		})
		return nil
	})
	last := <-runs
	for range 3 {
		var next time.Time
		for next.IsZero() {
			select {
			case next = <-runs:
			default:
				if s.clock.HasWaiters() {
					s.clock.Step(time.Second)
				}
			}
		}
		if since := next.Sub(last); since != takes+pause {
			t.Errorf("ran again after %v", since)
		}
		last = next
	}
}
