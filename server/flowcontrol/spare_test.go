package flowcontrol

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing"
	"k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing/eventclock"
	"k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing/queueset"
	"k8s.io/apiserver/pkg/util/flowcontrol/metrics"
	flowcontrolrequest "k8s.io/apiserver/pkg/util/flowcontrol/request"
)

// gauge is what a set says of itself.
type gauge struct {
	mu    sync.Mutex
	value float64
}

func (g *gauge) Set(v float64)            { g.mu.Lock(); g.value = v; g.mu.Unlock() }
func (g *gauge) Add(v float64)            { g.mu.Lock(); g.value += v; g.mu.Unlock() }
func (g *gauge) Inc()                     { g.Add(1) }
func (g *gauge) Dec()                     { g.Add(-1) }
func (g *gauge) SetToCurrentTime()        {}
func (g *gauge) SetDenominator(_ float64) {}
func (g *gauge) get() float64             { g.mu.Lock(); defer g.mu.Unlock(); return g.value }

// sharing is a queue set with requests.
type sharing struct {
	set                               fairqueuing.QueueSet
	waiting, executing, seats, demand gauge

	mu       sync.Mutex
	running  map[int]chan struct{} // closed: the request is served
	rejected map[int]bool
	cancel   map[int]context.CancelFunc
	all      sync.WaitGroup
}

func newSharing(t *testing.T, f fairqueuing.QueueSetFactory, c fairqueuing.QueuingConfig, limit int) *sharing {
	s := &sharing{running: map[int]chan struct{}{}, rejected: map[int]bool{}, cancel: map[int]context.CancelFunc{}}
	completer, err := f.BeginConstruction(c, metrics.RatioedGaugePair{RequestsWaiting: &s.waiting, RequestsExecuting: &s.executing}, &s.seats, &s.demand)
	if err != nil {
		t.Fatal(err)
	}
	s.set = completer.Complete(fairqueuing.DispatchingConfig{ConcurrencyLimit: limit, ConcurrencyDenominator: max(1, limit)})
	return s
}

func (s *sharing) start(id int, flow uint64, width flowcontrolrequest.WorkEstimate) {
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	s.cancel[id] = cancel
	s.mu.Unlock()
	r, _ := s.set.StartRequest(ctx, &width, flow, fmt.Sprint(flow), "schema", id, nil, nil)
	if r == nil {
		s.mu.Lock()
		s.rejected[id] = true
		s.mu.Unlock()
		return
	}
	s.all.Go(func() {
		served := false
		r.Finish(func() {
			served = true
			done := make(chan struct{})
			s.mu.Lock()
			s.running[id] = done
			s.mu.Unlock()
			<-done
		})
		s.mu.Lock()
		defer s.mu.Unlock()
		if delete(s.running, id); !served {
			s.rejected[id] = true
		}
	})
}

func (s *sharing) finish(id int) {
	s.mu.Lock()
	close(s.running[id])
	s.running[id] = nil
	s.mu.Unlock()
	eventually(func() bool { s.mu.Lock(); defer s.mu.Unlock(); _, there := s.running[id]; return !there })
}

func (s *sharing) now() (running, rejected []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.running)), slices.Sorted(maps.Keys(s.rejected))
}

// configure is another configuration of the priority level.
func (s *sharing) configure(t *testing.T, c fairqueuing.QueuingConfig, limit int) {
	completer, err := s.set.BeginConfigChange(c)
	if err != nil {
		t.Fatal(err)
	}
	completer.Complete(fairqueuing.DispatchingConfig{ConcurrencyLimit: limit, ConcurrencyDenominator: max(1, limit)})
}

func eventually(condition func() bool) bool {
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(50 * time.Microsecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// TestSpareDecidesLikeUpstream: whatever comes, the same requests are served, or
// wait, or are turned away. Among several flows upstream goes by the time that
// requests have taken, so there as many are.
func TestSpareDecidesLikeUpstream(t *testing.T) {
	for name, test := range map[string]struct {
		config fairqueuing.QueuingConfig
		flows  uint64
		seats  int
	}{
		"one queue, wide requests": {fairqueuing.QueuingConfig{Name: "one", DesiredNumQueues: 1, QueueLengthLimit: 3, HandSize: 1}, 1, 4},
		"many queues":              {fairqueuing.QueuingConfig{Name: "many", DesiredNumQueues: 16, QueueLengthLimit: 100, HandSize: 3}, 5, 1},
		"no queues":                {fairqueuing.QueuingConfig{Name: "none"}, 2, 4},
		"exempt":                   {fairqueuing.QueuingConfig{Name: "exempt", DesiredNumQueues: -1}, 2, 4},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(5) {
				random := rand.New(rand.NewPCG(seed, 1))
				plain := queueset.NewQueueSetFactory(eventclock.Real{})
				limit := 6
				upstream, ours := newSharing(t, plain, test.config, limit), newSharing(t, spareFactory{plain, &classes{}}, test.config, limit)
				both := []*sharing{upstream, ours}
				sharing := func() (running []int) {
					a, _ := upstream.now()
					b, _ := ours.now()
					return slices.DeleteFunc(a, func(id int) bool { return !slices.Contains(b, id) })
				}
				widths := map[int]int{}
				for id := range 150 {
					what, flow, width := random.IntN(100), random.Uint64N(test.flows), 1+random.IntN(test.seats)
					switch running := sharing(); {
					case what < 50:
						widths[id] = width
						for _, s := range both {
							s.start(id, flow*7919, flowcontrolrequest.WorkEstimate{InitialSeats: uint64(width)})
						}
					case what < 90 && len(running) > 0:
						done := running[random.IntN(len(running))]
						for _, s := range both {
							s.finish(done)
						}
					case what < 94:
						limit = 1 + random.IntN(12)
						for _, s := range both {
							s.configure(t, test.config, limit)
						}
					case what < 96:
						ours.set.Dump(false)
					case what < 98 && test.flows == 1: // cancel all that wait
						for _, s := range both {
							running, _ := s.now()
							for other, cancel := range s.cancel {
								if !slices.Contains(running, other) {
									cancel()
								}
							}
							eventually(func() bool { return s.waiting.get() == 0 })
						}
					}
					same := func() bool {
						a, rejectedA := upstream.now()
						b, rejectedB := ours.now()
						if test.flows > 1 && test.config.DesiredNumQueues > 0 {
							return len(a) == len(b) && len(rejectedA) == len(rejectedB)
						}
						return slices.Equal(a, b) && slices.Equal(rejectedA, rejectedB)
					}
					settled := func() bool {
						for _, s := range both {
							running, _ := s.now()
							if int(s.executing.get()) != len(running) {
								return false
							}
						}
						return same()
					}
					if !eventually(settled) {
						a, rejectedA := upstream.now()
						b, rejectedB := ours.now()
						t.Fatalf("seed %d, step %d, limit %d: upstream runs %v, ours %v; rejected %v, ours %v", seed, id, limit, a, b, rejectedA, rejectedB)
					}
					if a, b := upstream.seats.get(), ours.seats.get(); a != b {
						t.Fatalf("seed %d, step %d: upstream has %v seats taken, ours %v", seed, id, a, b)
					}
					if a, b := upstream.demand.get(), ours.demand.get(); a != b {
						t.Fatalf("seed %d, step %d: upstream's demand is %v seats, ours %v", seed, id, a, b)
					}
				}
				for _, s := range both {
					for s.executing.get()+s.waiting.get() > 0 {
						running, _ := s.now()
						for _, id := range running {
							s.finish(id)
						}
					}
					s.all.Wait()
					if s.seats.get() != 0 || s.demand.get() != 0 || s.executing.get() != 0 || s.waiting.get() != 0 {
						t.Errorf("left over: %v seats, demand %v, %v executing, %v waiting", s.seats.get(), s.demand.get(), s.executing.get(), s.waiting.get())
					}
				}
			}
		})
	}
}

// TestSpareLingers: what a request has caused takes its seats a while longer,
// whether upstream is told of it or not.
func TestSpareLingers(t *testing.T) {
	config := fairqueuing.QueuingConfig{Name: "lingers", DesiredNumQueues: 1, QueueLengthLimit: 5, HandSize: 1}
	for _, told := range []bool{false, true} {
		s := newSharing(t, spareFactory{queueset.NewQueueSetFactory(eventclock.Real{}), &classes{}}, config, 5)
		s.start(0, 0, flowcontrolrequest.WorkEstimate{InitialSeats: 1, FinalSeats: 4, AdditionalLatency: 50 * time.Millisecond})
		eventually(func() bool { running, _ := s.now(); return len(running) == 1 })
		s.finish(0)
		if s.executing.get() != 0 {
			t.Error("a request that lingers is not over")
		}
		if told {
			s.set.Dump(false)
		}
		began := time.Now()
		if seats := s.seats.get(); seats != 4 && time.Since(began) < 20*time.Millisecond {
			t.Errorf("%v seats are taken", seats)
		}
		s.start(1, 0, flowcontrolrequest.WorkEstimate{InitialSeats: 2})
		if !eventually(func() bool { running, _ := s.now(); return len(running) == 1 }) {
			t.Fatal("the seats are kept")
		}
		s.finish(1)
		s.all.Wait()
		if !eventually(func() bool { return s.seats.get() == 0 && s.demand.get() == 0 }) {
			t.Error("seats are left")
		}
	}
}

// TestSpareIdle: upstream lets an unwanted priority level go when the last request
// that it handles has ended, also if it was told of others that are still served.
func TestSpareIdle(t *testing.T) {
	factory := spareFactory{queueset.NewQueueSetFactory(eventclock.Real{}), &classes{}}
	config := fairqueuing.QueuingConfig{Name: "idle", DesiredNumQueues: 1, QueueLengthLimit: 5, HandSize: 1}
	s := newSharing(t, factory, config, 2)
	known := &class{set: s.set.(*spare), schema: &flowcontrolv1.FlowSchema{}}
	served := direct{ctx: t.Context(), width: flowcontrolrequest.WorkEstimate{InitialSeats: 1}}
	if !known.letThrough(&served) {
		t.Fatal("a request has to wait while nobody else is there")
	}
	if !s.set.IsIdle() {
		t.Error("upstream waits for a request that it does not handle")
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting, idle := s.set.StartRequest(ctx, &flowcontrolrequest.WorkEstimate{InitialSeats: 2}, 0, "", "schema", nil, nil, nil)
	if waiting == nil || idle || s.set.IsIdle() {
		t.Fatal("a request that waits is not counted")
	}
	cancel()
	if !waiting.Finish(func() { t.Error("served beyond the limit") }) || !s.set.IsIdle() {
		t.Error("nobody will let the level go")
	}
	served.end()
	through, _ := s.set.StartRequest(t.Context(), &flowcontrolrequest.WorkEstimate{InitialSeats: 2}, 0, "", "schema", nil, nil, nil)
	if !through.Finish(func() {
		if s.set.IsIdle() {
			t.Error("idle while a request is served")
		}
	}) {
		t.Error("busy after all requests")
	}
	if s.seats.get() != 0 || s.demand.get() != 0 || s.executing.get() != 0 || s.waiting.get() != 0 {
		t.Errorf("left over: %v seats, demand %v, %v executing, %v waiting", s.seats.get(), s.demand.get(), s.executing.get(), s.waiting.get())
	}
}
