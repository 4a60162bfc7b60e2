package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	policylisters "k8s.io/client-go/listers/policy/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/dynamic-resource-allocation/resourceslice/tracker"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/scheduler/device"
	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/queue"
	"github.com/howdah/howdah/scheduler/record"
	"github.com/howdah/howdah/scheduler/state"
	"github.com/howdah/howdah/scheduler/volume"
	"github.com/howdah/howdah/scheduler/workload"
)

// A Scheduler places pods while [Scheduler.Run] runs.
type Scheduler struct {
	options  Options
	log      *slog.Logger
	clock    clock.WithTicker
	metrics  *metrics
	events   *record.Recorder
	statuses *statusWriter
	budgets  policylisters.PodDisruptionBudgetLister
	devices  *device.Devices
	slices   *tracker.Tracker
	synced   []cache.InformerSynced
	handlers []registration
	inbox    inbox

	mu          sync.Mutex // by [Scheduler.lock]
	cluster     *state.Cluster
	queue       *queue.Queue
	nominations *queue.Nominations
	profiles    map[string]*profile
	assumed     map[types.UID]assumed
	preempting  map[types.UID]bool // pods whose victims are being removed
	happened    uint64             // counts events that may help
	began       time.Time          // the part of a decision that is under way

	wake     chan struct{} // something may be decided
	bindings chan struct{} // a slot for each that is under way
	binding  atomic.Int64  // how many of them
	arrivals arrivals
	running  sync.WaitGroup
}

// New asks the informers for what the scheduler watches. The caller starts them
// and then calls [Scheduler.Run].
func New(o Options) (*Scheduler, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	s := &Scheduler{
		options: o, log: o.Logger, clock: o.Clock, metrics: newMetrics(), cluster: state.NewCluster(), nominations: queue.NewNominations(),
		profiles: map[string]*profile{}, assumed: map[types.UID]assumed{}, preempting: map[types.UID]bool{},
		wake: make(chan struct{}, 1), bindings: make(chan struct{}, o.Bindings),
		budgets: o.Informers.Policy().V1().PodDisruptionBudgets().Lister(),
	}
	s.synced = append(s.synced, o.Informers.Policy().V1().PodDisruptionBudgets().Informer().HasSynced)
	s.queue = queue.New(queue.Options{
		InitialBackoff: o.InitialBackoff, MaxBackoff: o.MaxBackoff, Gate: s.gate,
		Entered: s.metrics.entered,
	})
	s.events = record.New(o.Client.EventsV1(), o.Instance, o.Logger, s.busy)
	s.statuses = newStatusWriter(o.Client, o.Logger, s.busy)
	workloads := workload.New(o.Informers)
	volumes := volume.New(o.Informers, o.Client)
	s.synced = append(s.synced, volumes.Synced()...)
	var err error
	if s.slices, err = device.Track(o.Informers); err != nil {
		return nil, err
	}
	s.devices = device.New(device.Options{
		Client: o.Client, Classes: o.Informers.Resource().V1().DeviceClasses().Lister(), Slices: s.slices, Clock: o.Clock, Leads: o.Leads,
		Waits: func(pod *corev1.Pod, node string) {
			s.event(pod, nil, corev1.EventTypeNormal, "BindingConditionsPending", "Scheduling", "waiting for binding conditions for device on node "+node, false)
		},
	})
	for _, p := range o.Profiles {
		if s.profiles[p.Name] != nil {
			return nil, fmt.Errorf("there are two profiles for the scheduler name %q; give each its own schedulerName", p.Name)
		}
		placer, err := placement.New(placement.Options{
			Config: p.Placement, Cluster: s.cluster, Plugins: append(volumes.Plugins(p.Volumes), s.devices.Plugin(p.Name, p.Devices)), Version: o.Version, Workloads: workloads,
			Nominations: s.nominations, Devices: s.devices, Random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
			Ended: func(point, status string) { s.ended(p.Name, point, status) },
		})
		if err != nil {
			return nil, fmt.Errorf("profile %q: %w", p.Name, err)
		}
		s.profiles[p.Name] = &profile{Profile: p, claims: slices.Contains(p.Placement.Filters, placement.DynamicResources), evaluations: s.metrics.evaluationsOf(p), placer: placer}
	}
	if err := s.watch(o.Informers); err != nil {
		return nil, err
	}
	return s, nil
}

// Run places pods until ctx ends, and then waits for what is under way. Nothing
// is bound after it returned.
func (s *Scheduler) Run(ctx context.Context) error {
	defer s.unwatch()
	if !cache.WaitForCacheSync(ctx.Done(), s.synced...) {
		return ctx.Err()
	}
	s.log.Debug("the scheduler's caches are filled")
	s.running.Go(func() { s.events.Run(ctx) })
	s.statuses.start(ctx, &s.running)
	s.running.Go(func() { s.flush(ctx) })
	s.decideAll(ctx)
	s.running.Wait()
	return nil
}

// flush wakes the deciding goroutine for pods whose waiting is over.
func (s *Scheduler) flush(ctx context.Context) {
	ticks := s.clock.NewTicker(time.Second)
	defer ticks.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C():
		}
		s.lock()
		s.queue.Flush(s.clock.Now())
		if n%30 == 0 {
			s.queue.FlushParked(s.clock.Now())
		}
		s.measure()
		s.mu.Unlock()
		s.signal()
	}
}

// signal tells the deciding goroutine that there may be something to decide.
func (s *Scheduler) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// gate says what keeps a pod from being decided.
func (s *Scheduler) gate(pod *state.Pod) string {
	if s.preempting[pod.UID()] {
		return placement.DefaultPreemption
	}
	if p := s.profiles[pod.Obj.Spec.SchedulerName]; p != nil && p.Gates && len(pod.Obj.Spec.SchedulingGates) > 0 {
		return "SchedulingGates"
	}
	if p := s.profiles[pod.Obj.Spec.SchedulerName]; p != nil && p.claims && s.devices.Lacks(pod.Obj) {
		return placement.DynamicResources
	}
	return ""
}
