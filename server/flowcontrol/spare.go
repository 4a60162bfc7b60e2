package flowcontrol

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apiserver/pkg/util/flowcontrol/debug"
	"k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing"
	"k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing/queueset"
	"k8s.io/apiserver/pkg/util/flowcontrol/metrics"
	flowcontrolrequest "k8s.io/apiserver/pkg/util/flowcontrol/request"
)

// spareFactory makes upstream's queue sets cheap while there is nothing to
// decide. Upstream puts each request into a queue, looks through all queues for the
// next one to serve, and keeps virtual time, also while so few requests are under
// way that each is served at once.
//
// A set knows how many seats of its priority level are taken. While nobody waits
// and there are enough of them for a request, upstream would let it through, so it
// is let through and its seats are noted. As soon as one comes that may have to
// wait, upstream is told of all that are under way, which it lets through by the
// same rule, and then decides. So upstream knows of everybody whenever it has to
// choose between requests.
type spareFactory struct {
	fairqueuing.QueueSetFactory
	classes *classes
}

// BeginConstruction implements [fairqueuing.QueueSetFactory].
func (f spareFactory) BeginConstruction(c fairqueuing.QueuingConfig, requests metrics.RatioedGaugePair, seats metrics.RatioedGauge, demand metrics.Gauge) (fairqueuing.QueueSetCompleter, error) {
	s := &spare{classes: f.classes, requests: requests.RequestsExecuting, taken: takenSeats{RatioedGauge: seats}, demand: seatDemand{Gauge: demand}}
	completer, err := f.QueueSetFactory.BeginConstruction(c, requests, &s.taken, &s.demand)
	if err != nil {
		return nil, err
	}
	return spareCompleter{completer, s, c}, nil
}

type spareCompleter struct {
	fairqueuing.QueueSetCompleter
	set    *spare
	config fairqueuing.QueuingConfig
}

// Complete implements [fairqueuing.QueueSetCompleter].
func (c spareCompleter) Complete(d fairqueuing.DispatchingConfig) fairqueuing.QueueSet {
	s := c.set
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tellAll() // while the old limit has room for all
	if made := c.QueueSetCompleter.Complete(d); s.upstream == nil {
		s.upstream = made
	}
	s.config, s.limit = c.config, d.ConcurrencyLimit
	s.classes.changed(c.config.Name, s)
	return s
}

// spare is the queue set of a priority level.
type spare struct {
	upstream fairqueuing.QueueSet
	classes  *classes
	requests metrics.RatioedGauge
	taken    takenSeats
	demand   seatDemand

	mu         sync.Mutex
	config     fairqueuing.QueuingConfig
	limit      int
	untold     []*direct // requests that upstream does not know of
	seats      int       // of those
	undecided  int       // requests that upstream has not let through or turned away yet
	handled    int       // requests that upstream's controller will finish
	dispatched int
}

// takenSeats are the seats that upstream has given away.
type takenSeats struct {
	metrics.RatioedGauge
	count atomic.Int64
}

// Add is called with upstream's lock held.
func (t *takenSeats) Add(seats float64) {
	t.count.Add(int64(seats))
	t.RatioedGauge.Add(seats)
}

// seatDemand is what upstream's requests and ours want together.
type seatDemand struct {
	metrics.Gauge
	mu             sync.Mutex
	upstream, ours float64
}

// Set is called with upstream's lock held.
func (d *seatDemand) Set(seats float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.upstream = seats
	d.Gauge.Set(d.upstream + d.ours)
}

func (d *seatDemand) add(seats int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ours += float64(seats)
	d.Gauge.Set(d.upstream + d.ours)
}

// BeginConfigChange implements [fairqueuing.QueueSet].
func (s *spare) BeginConfigChange(c fairqueuing.QueuingConfig) (fairqueuing.QueueSetCompleter, error) {
	completer, err := s.upstream.BeginConfigChange(c)
	if err != nil {
		return nil, err
	}
	return spareCompleter{completer, s, c}, nil
}

// IsIdle implements [fairqueuing.QueueSet]. It is asked when the priority level is
// no longer wanted, and then again whenever a request that upstream handles has
// ended. Requests of known classes end without upstream's asking, so it need not
// wait for them to let the level go.
func (s *spare) IsIdle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handled == 0
}

// Dump implements [fairqueuing.QueueSet].
func (s *spare) Dump(details bool) debug.QueueSetDump {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tellAll()
	dump := s.upstream.Dump(details)
	dump.Dispatched += s.dispatched
	return dump
}

// StartRequest implements [fairqueuing.QueueSet].
func (s *spare) StartRequest(ctx context.Context, width *flowcontrolrequest.WorkEstimate, hash uint64, distinguisher, flowSchema string, descr1, descr2 any, note fairqueuing.QueueNoteFn) (fairqueuing.Request, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &direct{set: s, ctx: ctx, width: *width, hash: hash, distinguisher: distinguisher, flowSchema: flowSchema, descr1: descr1, descr2: descr2}
	if s.add(r) {
		s.handled++
		return r, false
	}
	s.tellAll()
	decided, _ := s.upstream.StartRequest(ctx, width, hash, distinguisher, flowSchema, descr1, descr2, note)
	if decided == nil {
		return nil, s.handled == 0
	}
	s.handled++
	s.undecided++
	return &queued{Request: decided, set: s}, false
}

// letThrough is StartRequest for a request of the class; false: it may have to wait.
func (c *class) letThrough(r *direct) bool {
	r.set, r.hash, r.distinguisher, r.flowSchema = c.set, c.flow, c.distinguisher, c.schema.Name
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	return c.set.add(r)
}

// free says whether upstream would let a request through at once.
func (s *spare) free(seats int) bool {
	exempt := s.config.DesiredNumQueues < 0
	return exempt || s.undecided == 0 && int(s.taken.count.Load())+s.seats+seats <= s.limit
}

// add lets a request through that upstream is not told of, if it is free.
func (s *spare) add(r *direct) bool {
	if !s.free(r.width.MaxSeats()) {
		return false
	}
	if s.config.DesiredNumQueues > 0 {
		metrics.ObserveQueueLength(r.ctx, s.config.Name, r.flowSchema, 1)
	}
	r.index = len(s.untold)
	s.untold = append(s.untold, r)
	s.take(r, 1)
	s.count(r, 1)
	return true
}

// remove is when the request has ended, or upstream is to be told of it.
func (s *spare) remove(r *direct) {
	last := len(s.untold) - 1
	s.untold[r.index] = s.untold[last]
	s.untold[r.index].index = r.index
	s.untold[last] = nil
	s.untold = s.untold[:last]
	s.take(r, -1)
	if r.lingersUntil.IsZero() {
		s.count(r, -1)
	}
}

func (s *spare) take(r *direct, sign int) {
	seats := sign * r.width.MaxSeats()
	s.seats += seats
	metrics.AddSeatConcurrencyInUse(s.config.Name, r.flowSchema, seats)
	s.taken.RatioedGauge.Add(float64(seats))
	s.demand.add(seats)
}

func (s *spare) count(r *direct, requests int) {
	metrics.AddRequestsExecuting(r.ctx, s.config.Name, r.flowSchema, requests)
	s.requests.Add(float64(requests))
}

// tellAll tells upstream of all requests that it does not know of. It has room for
// them, so it lets each through at once.
func (s *spare) tellAll() {
	for _, r := range slices.Clone(s.untold) {
		s.remove(r)
		width := r.width
		if !r.lingersUntil.IsZero() {
			width.AdditionalLatency = max(0, time.Until(r.lingersUntil))
		}
		r.upstream, _ = s.upstream.StartRequest(r.ctx, &width, r.hash, r.distinguisher, r.flowSchema, r.descr1, r.descr2, nil)
		if !r.lingersUntil.IsZero() {
			r.upstream.Finish(func() {})
		}
	}
}

// direct is a request that was let through.
type direct struct {
	set                       *spare
	ctx                       context.Context
	width                     flowcontrolrequest.WorkEstimate
	hash                      uint64
	distinguisher, flowSchema string
	descr1, descr2            any

	index        int                 // in set.untold
	lingersUntil time.Time           // not zero: it was served, and its seats are kept for what it has caused
	upstream     fairqueuing.Request // not nil: upstream was told
}

// Finish implements [fairqueuing.Request].
func (r *direct) Finish(execute func()) (idle bool) {
	defer func() {
		r.end()
		idle = r.set.finished()
	}()
	execute()
	return
}

// finished is when a request has ended that upstream's controller handles; it
// returns whether the set is idle.
func (s *spare) finished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handled--
	return s.handled == 0
}

func (r *direct) end() {
	s := r.set
	s.mu.Lock()
	if r.upstream != nil {
		s.mu.Unlock()
		r.upstream.Finish(func() {})
		return
	}
	defer s.mu.Unlock()
	s.dispatched++
	if r.width.AdditionalLatency <= 0 {
		s.remove(r)
		return
	}
	s.count(r, -1)
	r.lingersUntil = time.Now().Add(r.width.AdditionalLatency)
	time.AfterFunc(r.width.AdditionalLatency, r.release)
}

// release is when the seats are no longer needed.
func (r *direct) release() {
	r.set.mu.Lock()
	defer r.set.mu.Unlock()
	if r.upstream == nil {
		r.set.remove(r)
	}
}

// queued is a request that upstream decides on.
type queued struct {
	fairqueuing.Request
	set *spare
}

// Finish implements [fairqueuing.Request].
func (q *queued) Finish(execute func()) (idle bool) {
	decided := sync.OnceFunc(func() {
		q.set.mu.Lock()
		defer q.set.mu.Unlock()
		q.set.undecided--
	})
	defer func() {
		decided() // if it is turned away
		idle = q.set.finished()
	}()
	return q.Request.Finish(func() {
		decided()
		queueset.OnRequestDispatched(q.Request)
		execute()
	})
}
