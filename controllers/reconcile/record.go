package reconcile

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
)

// Recorder writes events of a source component with the controller's identity.
func (c *Controller) Recorder(component string) record.EventRecorder {
	return c.RecorderFor(scheme.Scheme, component)
}

// RecorderFor is Recorder for objects of another scheme.
func (c *Controller) RecorderFor(objects *runtime.Scheme, component string) record.EventRecorder {
	return &recorder{
		get: sync.OnceValue(func() record.EventRecorder {
			return c.events.recorder(c.Client, objects, corev1.EventSource{Component: component})
		}),
		clock: c.Clock, budgets: lru.New(rememberedObjects),
	}
}

// What client-go writes of an object's events: so many at once, then one now and
// then. It reckons a patch for each of the others before it drops it.
const (
	rememberedObjects = 4096
	eventsAtOnce      = 25
	eventsPerSecond   = 1. / 300
)

// events writes the events of one life. It starts with the first of them: most
// controllers have nothing to tell most of the time, and its buffers are large.
type events struct {
	mu          sync.Mutex
	broadcaster record.EventBroadcaster
	ended       bool
}

func (e *events) recorder(client kubernetes.Interface, objects *runtime.Scheme, source corev1.EventSource) record.EventRecorder {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return &record.FakeRecorder{} // drops what it is told
	}
	if e.broadcaster == nil {
		e.broadcaster = record.NewBroadcaster()
		e.broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	}
	return e.broadcaster.NewRecorder(objects, source)
}

func (e *events) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	if e.broadcaster != nil {
		e.broadcaster.Shutdown()
	}
}

// A recorder is made when it is first used, and leaves out what would be dropped.
type recorder struct {
	clock   clock.PassiveClock
	get     func() record.EventRecorder
	mu      sync.Mutex
	budgets *lru.Cache // of objects, by UID
}

// drops is whether the object has had all events that it may have now.
func (r *recorder) drops(object runtime.Object) bool {
	known, err := meta.Accessor(object)
	if err != nil || known.GetUID() == "" {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	budget, ok := r.budgets.Get(known.GetUID())
	if !ok {
		budget = flowcontrol.NewTokenBucketPassiveRateLimiterWithClock(eventsPerSecond, eventsAtOnce, r.clock)
		r.budgets.Add(known.GetUID(), budget)
	}
	return !budget.(flowcontrol.PassiveRateLimiter).TryAccept()
}

// Event implements [record.EventRecorder].
func (r *recorder) Event(object runtime.Object, eventtype, reason, message string) {
	if !r.drops(object) {
		r.get().Event(object, eventtype, reason, message)
	}
}

// Eventf implements [record.EventRecorder].
func (r *recorder) Eventf(object runtime.Object, eventtype, reason, format string, args ...any) {
	if !r.drops(object) {
		r.get().Eventf(object, eventtype, reason, format, args...)
	}
}

// AnnotatedEventf implements [record.EventRecorder].
func (r *recorder) AnnotatedEventf(object runtime.Object, annotations map[string]string, eventtype, reason, format string, args ...any) {
	if !r.drops(object) {
		r.get().AnnotatedEventf(object, annotations, eventtype, reason, format, args...)
	}
}
