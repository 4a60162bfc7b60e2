package queue

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/howdah/howdah/scheduler/state"
)

// The queues by the names that kube-scheduler's metrics use.
const (
	Active        = "active"
	Backoff       = "backoff"
	Unschedulable = "unschedulable"
	Gated         = "gated"
)

// What makes a pod enter a queue, besides the events of the cluster; the names
// are those of kube-scheduler's metrics.
const (
	PodAdd                 = "UnscheduledPodAdd"
	PodUpdate              = "UnscheduledPodUpdate"
	ScheduleAttemptFailure = "ScheduleAttemptFailure"
	BackoffComplete        = "BackoffComplete"
	UnschedulableTimeout   = "UnschedulableTimeout"
	ForceActivate          = "ForceActivate"
)

// parkedAtMost is how long a pod waits for an event.
const parkedAtMost = 5 * time.Minute

// window is how exactly backoffs end, so that those that end together are
// ordered by priority.
const window = time.Second

// Options are how long pods wait. The zero value of a field means the default
// that its comment names.
type Options struct {
	InitialBackoff time.Duration // 1s
	MaxBackoff     time.Duration // 10s
	// Gate says what keeps a pod from being decided, or "".
	Gate func(*state.Pod) string
	// Entered is told of each pod that enters a queue, for metrics.
	Entered func(queue, event string)
}

// An Item is a pod that waits or is being decided.
type Item struct {
	Pod          *state.Pod
	Attempts     int
	Flushed      bool            // it waited too long for an event at some time
	FirstAttempt time.Time       // zero: none yet
	Rejectors    map[string]bool // the plugins that refused it last, and what gates it
	Gate         string          // what keeps it from being decided; "": nothing

	since         time.Time // in this state, or when it was last taken
	unschedulable int       // attempts in which no node took it
	errors        int       // attempts that failed otherwise, in a row
	until         time.Time // end of its backoff, worked out when needed
	in            place
	index         int // in a heap
	taken         bool
}

type place int

const (
	nowhere place = iota
	inActive
	inBackoff
	inErrors
	parked
)

// A Queue holds the pods that wait.
type Queue struct {
	options Options
	items   map[types.UID]*Item // also those that are taken
	active  heapOf
	backoff heapOf
	errors  heapOf
	parked  map[types.UID]*Item
	causes  map[Cause]int // how many parked pods a plugin refused, by profile
	seen    time.Time     // by the clock on the wall, which may be set back
}

// New is empty.
func New(o Options) *Queue {
	if o.InitialBackoff == 0 {
		o.InitialBackoff = time.Second
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = 10 * time.Second
	}
	if o.Gate == nil {
		o.Gate = func(*state.Pod) string { return "" }
	}
	if o.Entered == nil {
		o.Entered = func(string, string) {}
	}
	q := &Queue{options: o, items: map[types.UID]*Item{}, parked: map[types.UID]*Item{}, causes: map[Cause]int{}}
	q.active.less = firstServed
	q.backoff.less = func(a, b *Item) bool {
		if x, y := q.backoffEnd(a), q.backoffEnd(b); !x.Equal(y) {
			return x.Before(y)
		}
		return firstServed(a, b)
	}
	q.errors.less = q.backoff.less
	return q
}

// firstServed is the order of kube-scheduler's PrioritySort.
func firstServed(a, b *Item) bool {
	if a.Pod.Priority != b.Pod.Priority {
		return a.Pod.Priority > b.Pod.Priority
	}
	return a.since.Before(b.since)
}

// Add takes a new pod, or a new version of one that is known.
func (q *Queue) Add(pod *state.Pod, now time.Time) {
	if q.items[pod.UID()] != nil {
		q.Update(pod, nil, now)
		return
	}
	item := &Item{Pod: pod, since: now}
	q.items[pod.UID()] = item
	q.activate(item, PodAdd)
}

// Update gives a pod that waits a new version. helps tells whether the change
// may make a plugin that refused the pod accept it; nil: it may. false: the pod
// isn't known.
func (q *Queue) Update(pod *state.Pod, helps func(plugin string) bool, now time.Time) bool {
	item := q.items[pod.UID()]
	if item == nil {
		return false
	}
	item.Pod = pod
	switch item.in {
	case inActive:
		q.active.fix(item)
	case inBackoff:
		q.backoff.fix(item)
	case inErrors:
		q.errors.fix(item)
	case parked:
		if item.Gate != "" {
			if q.options.Gate(pod) == "" {
				q.remove(item)
				q.activate(item, PodUpdate)
			}
			return true
		}
		if helps == nil || q.mayHelp(item, helps) {
			q.move(item, PodUpdate, now)
		}
	}
	return true
}

// Delete forgets a pod wherever it is.
func (q *Queue) Delete(uid types.UID) {
	if item := q.items[uid]; item != nil {
		q.remove(item)
		delete(q.items, uid)
	}
}

// Has tells whether the pod waits or is being decided.
func (q *Queue) Has(uid types.UID) bool { return q.items[uid] != nil }

// Pop takes the pod that is next; nil when none is to be decided now.
func (q *Queue) Pop(now time.Time) *Item {
	q.Flush(now)
	item := q.active.pop()
	if item == nil {
		// Nothing better to do: what waits for no more than its backoff may as
		// well be tried now.
		item = q.backoff.pop()
	}
	if item == nil {
		return nil
	}
	item.in, item.taken = nowhere, true
	item.Attempts++
	if item.FirstAttempt.IsZero() {
		item.FirstAttempt = now
	}
	return item
}

// Park gives back a pod that no node took, with the plugins that refused it.
// missed: something happened since it was taken that may help, so it is not to
// wait for another event.
func (q *Queue) Park(item *Item, rejectors map[string]bool, missed bool, now time.Time) {
	if !q.giveBack(item, now) {
		return
	}
	if len(rejectors) == 0 {
		// Nobody said why, so nobody can say what helps.
		item.errors++
	} else {
		item.unschedulable++
		item.errors = 0
	}
	item.Rejectors = rejectors
	if missed || len(rejectors) == 0 {
		q.move(item, ScheduleAttemptFailure, now)
		return
	}
	q.park(item, ScheduleAttemptFailure)
}

// Retry gives back a pod whose attempt failed for no fault of its own; it is
// tried again after a backoff.
func (q *Queue) Retry(item *Item, now time.Time) { q.Park(item, nil, true, now) }

func (q *Queue) giveBack(item *Item, now time.Time) bool {
	if q.items[item.Pod.UID()] != item || !item.taken {
		return false // deleted meanwhile
	}
	item.taken = false
	item.since, item.until = now, time.Time{}
	return true
}

// Move lets the pods that an event may help be tried again. plugins are those
// that the event may help at all, helps tells for one pod.
func (q *Queue) Move(event string, plugins []string, helps func(plugin string, pod *state.Pod) bool, now time.Time) {
	concerned := false
	for cause := range q.causes {
		concerned = concerned || slices.Contains(plugins, cause.Plugin)
	}
	if !concerned {
		return
	}
	for _, item := range q.parked {
		if item.Gate != "" && q.options.Gate(item.Pod) != "" {
			continue
		}
		if q.mayHelp(item, func(plugin string) bool { return slices.Contains(plugins, plugin) && helps(plugin, item.Pod) }) {
			q.move(item, event, now)
		}
	}
}

// Activate lets pods be tried whatever they wait for, but not those that are
// still gated.
func (q *Queue) Activate(uid types.UID, now time.Time) {
	item := q.items[uid]
	if item == nil || item.in == nowhere || item.in == inActive {
		return
	}
	q.remove(item)
	q.activate(item, ForceActivate)
}

// Flush makes those active whose backoff is over and those that waited too long
// for an event.
func (q *Queue) Flush(now time.Time) {
	q.see(now)
	for _, heap := range []*heapOf{&q.backoff, &q.errors} {
		for item := heap.first(); item != nil && !q.backingOff(item, now); item = heap.first() {
			heap.pop()
			q.activate(item, BackoffComplete)
		}
	}
}

// see lets nobody wait until an hour comes again that was set back.
func (q *Queue) see(now time.Time) {
	wall := now.Round(0)
	back := wall.Before(q.seen)
	q.seen = wall
	if !back {
		return
	}
	for _, item := range q.items {
		if item.since.Round(0).After(wall) {
			item.since, item.until = now, time.Time{}
		}
	}
	for _, heap := range []*heapOf{&q.active, &q.backoff, &q.errors} {
		heap.order()
	}
}

// FlushParked tries those again that waited for an event for 5 minutes.
func (q *Queue) FlushParked(now time.Time) {
	for _, item := range q.parked {
		if item.Gate == "" && now.Sub(item.since) > parkedAtMost {
			item.Flushed = true
			q.move(item, UnschedulableTimeout, now)
		}
	}
}

// Next is when the first backoff ends, if nothing happens before; false: no pod
// is in backoff.
func (q *Queue) Next() (time.Time, bool) {
	var next time.Time
	for _, heap := range []*heapOf{&q.backoff, &q.errors} {
		if item := heap.first(); item != nil {
			if end := q.backoffEnd(item).Add(window); next.IsZero() || end.Before(next) {
				next = end
			}
		}
	}
	return next, !next.IsZero()
}

// Counts are how many pods are in each queue, by its name.
func (q *Queue) Counts() map[string]int {
	gated := 0
	for _, item := range q.parked {
		if item.Gate != "" {
			gated++
		}
	}
	return map[string]int{
		Active: len(q.active.items), Backoff: len(q.backoff.items) + len(q.errors.items),
		Unschedulable: len(q.parked) - gated, Gated: gated,
	}
}

// A Cause is a plugin that refused pods of a profile.
type Cause struct{ Plugin, Profile string }

// Causes are how many parked pods each plugin refused. The map is for reading
// until the next change.
func (q *Queue) Causes() map[Cause]int { return q.causes }

func cause(plugin string, item *Item) Cause { return Cause{plugin, item.Pod.Obj.Spec.SchedulerName} }

func (q *Queue) mayHelp(item *Item, helps func(plugin string) bool) bool {
	for plugin := range item.Rejectors {
		if helps(plugin) {
			return true
		}
	}
	return false
}

// move tries a pod again: at once, or when its backoff is over.
func (q *Queue) move(item *Item, event string, now time.Time) {
	q.remove(item)
	if !q.backingOff(item, now) {
		q.activate(item, event)
		return
	}
	if len(item.Rejectors) == 0 {
		item.in = inErrors
		q.errors.push(item)
	} else {
		item.in = inBackoff
		q.backoff.push(item)
	}
	q.options.Entered(Backoff, event)
}

func (q *Queue) activate(item *Item, event string) {
	if gate := q.options.Gate(item.Pod); gate != "" {
		item.Gate = gate
		rejectors := map[string]bool{gate: true}
		maps.Copy(rejectors, item.Rejectors)
		item.Rejectors = rejectors
		q.park(item, event)
		return
	}
	item.Gate = ""
	item.in = inActive
	q.active.push(item)
	q.options.Entered(Active, event)
}

func (q *Queue) park(item *Item, event string) {
	item.in = parked
	q.parked[item.Pod.UID()] = item
	for plugin := range item.Rejectors {
		q.causes[cause(plugin, item)]++
	}
	if item.Gate == "" {
		q.options.Entered(Unschedulable, event)
	} else {
		q.options.Entered(Gated, event)
	}
}

// remove takes a pod out of the queue that it is in.
func (q *Queue) remove(item *Item) {
	switch item.in {
	case inActive:
		q.active.remove(item)
	case inBackoff:
		q.backoff.remove(item)
	case inErrors:
		q.errors.remove(item)
	case parked:
		delete(q.parked, item.Pod.UID())
		for plugin := range item.Rejectors {
			c := cause(plugin, item)
			if q.causes[c]--; q.causes[c] == 0 {
				delete(q.causes, c)
			}
		}
	}
	item.in = nowhere
}

func (q *Queue) backingOff(item *Item, now time.Time) bool {
	return !q.backoffEnd(item).Before(now.Truncate(window))
}

func (q *Queue) backoffEnd(item *Item) time.Time {
	attempts := item.unschedulable
	if item.errors > 0 {
		attempts = item.errors
	}
	if attempts == 0 || q.options.MaxBackoff <= 0 {
		return time.Time{}
	}
	if item.until.IsZero() {
		wait := q.options.MaxBackoff
		if shift := attempts - 1; shift < 32 && q.options.InitialBackoff <= wait>>shift {
			wait = q.options.InitialBackoff << shift
		}
		item.until = item.since.Add(wait).Truncate(window)
	}
	return item.until
}
