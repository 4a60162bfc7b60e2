// Package record owns the events that tell users what happened to their pods.
//
// Events are for reading, pods are for running: while there is more important
// work for the API, events wait, for [Patience] at most if they can, and a bounded
// number of them. What repeats within six minutes becomes a series of one event
// (https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/).
package record

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedevents "k8s.io/client-go/kubernetes/typed/events/v1"
)

// Patience is how long what is only told waits for more important work.
const Patience = 5 * time.Second

const (
	waiting       = 20000           // events at most; more are dropped
	seriesWithin  = 6 * time.Minute // of the last one
	keptForSeries = 4096
	noteLimit     = 1024 // bytes, as the API has it
)

// A Recorder writes events in the order in which they were recorded, but those
// that may repeat, which say what is wrong, before those that don't.
type Recorder struct {
	client   typedevents.EventsGetter
	instance string
	log      *slog.Logger
	busy     func() bool
	now      func() time.Time

	mu     sync.Mutex
	queue  []*recorded
	urgent []*recorded
	wake   chan struct{}
	series map[string]*series
	lost   int
}

type recorded struct {
	event *eventsv1.Event
	key   string
}

// A series is the last event that said the same.
type series struct {
	namespace, name string
	count           int32
	last            time.Time
}

// New doesn't write before [Recorder.Run]. instance names this process in the
// events; busy tells whether there is more important work.
func New(client typedevents.EventsGetter, instance string, log *slog.Logger, busy func() bool) *Recorder {
	return &Recorder{client: client, instance: instance, log: log, busy: busy, now: time.Now, wake: make(chan struct{}, 1), series: map[string]*series{}}
}

// Event records what a reporter did (action) about a pod, and why. A related
// object may be nil. A series is only looked for with repeats: it can be told
// again.
func (r *Recorder) Event(pod *corev1.Pod, related *corev1.Pod, kind, reporter, reason, action, note string, repeats bool) {
	if len(note) > noteLimit {
		const suffix = " ..."
		note = note[:noteLimit-len(suffix)] + suffix
	}
	now := r.now()
	namespace := pod.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	event := &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s.%x", pod.Name, now.UnixNano())},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: reporter,
		ReportingInstance:   r.instance,
		Action:              action,
		Reason:              reason,
		Regarding:           reference(pod),
		Note:                note,
		Type:                kind,
	}
	if related != nil {
		other := reference(related)
		event.Related = &other
	}
	entry := &recorded{event: event}
	if repeats {
		entry.key = string(pod.UID) + "\x00" + reason + "\x00" + action + "\x00" + note
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	queue := &r.queue
	if repeats {
		queue = &r.urgent
	}
	if len(*queue) >= waiting {
		r.lost++
		return
	}
	*queue = append(*queue, entry)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func reference(pod *corev1.Pod) corev1.ObjectReference {
	return corev1.ObjectReference{
		APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
	}
}

// Run writes events until ctx ends; what waits then is dropped.
func (r *Recorder) Run(ctx context.Context) {
	for {
		entry := r.next()
		if entry == nil {
			select {
			case <-ctx.Done():
				return
			case <-r.wake:
			}
			continue
		}
		for r.busy() && r.now().Sub(entry.event.EventTime.Time) < Patience {
			select {
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
		if ctx.Err() != nil {
			return
		}
		r.write(ctx, entry)
	}
}

func (r *Recorder) next() *recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost > 0 {
		r.log.Warn("events were dropped since too many waited", "dropped", r.lost)
		r.lost = 0
	}
	queue := &r.urgent
	if len(*queue) == 0 {
		*queue, queue = nil, &r.queue
	}
	if len(*queue) == 0 {
		*queue = nil
		return nil
	}
	entry := (*queue)[0]
	(*queue)[0] = nil
	*queue = (*queue)[1:]
	return entry
}

func (r *Recorder) write(ctx context.Context, entry *recorded) {
	if s := r.series[entry.key]; entry.key != "" && s != nil && r.now().Sub(s.last) < seriesWithin {
		s.count++
		s.last = r.now()
		patch, err := json.Marshal(map[string]any{"series": eventsv1.EventSeries{Count: s.count, LastObservedTime: metav1.NewMicroTime(s.last)}})
		if err == nil {
			_, err = r.client.Events(s.namespace).Patch(ctx, s.name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		}
		if err == nil || !apierrors.IsNotFound(err) {
			r.note(err)
			return
		}
	}
	event, err := r.client.Events(entry.event.Namespace).Create(ctx, entry.event, metav1.CreateOptions{})
	r.note(err)
	if err != nil || entry.key == "" {
		return
	}
	if len(r.series) >= keptForSeries {
		for key, s := range r.series {
			if r.now().Sub(s.last) >= seriesWithin || len(r.series) >= keptForSeries {
				delete(r.series, key)
			}
		}
	}
	r.series[entry.key] = &series{namespace: event.Namespace, name: event.Name, count: 1, last: r.now()}
}

// note: an event that can't be written, as in a namespace that is going, is no
// reason to stop.
func (r *Recorder) note(err error) {
	if err != nil {
		r.log.Debug("an event could not be written", "err", err)
	}
}
