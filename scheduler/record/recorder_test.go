package record

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedevents "k8s.io/client-go/kubernetes/typed/events/v1"
)

// A sink takes events in the place of the API.
type sink struct {
	typedevents.EventInterface
	written chan string
}

func (s *sink) Events(string) typedevents.EventInterface { return s }

func (s *sink) Create(_ context.Context, event *eventsv1.Event, _ metav1.CreateOptions) (*eventsv1.Event, error) {
	s.written <- fmt.Sprintf("create %s %d", event.Reason, len(event.Note))
	return event, nil
}

func (s *sink) Patch(_ context.Context, _ string, _ types.PatchType, data []byte, _ metav1.PatchOptions, _ ...string) (*eventsv1.Event, error) {
	s.written <- "patch " + strings.Split(string(data), ",")[0]
	return &eventsv1.Event{}, nil
}

// What is wrong is told first, what repeats is one event, and long notes are
// cut.
func TestRecorder(t *testing.T) {
	s := &sink{written: make(chan string, 10)}
	r := New(s, "me", slog.New(slog.DiscardHandler), func() bool { return false })
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: "1"}}
	r.Event(pod, nil, corev1.EventTypeNormal, "x", "Scheduled", "Binding", "done", false)
	for range 3 {
		r.Event(pod, nil, corev1.EventTypeWarning, "x", "FailedScheduling", "Scheduling", strings.Repeat("n", 5000), true)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	for _, want := range []string{"create FailedScheduling 1024", `patch {"series":{"count":2`, `patch {"series":{"count":3`, "create Scheduled 4"} {
		if got := <-s.written; got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
	cancel()
	<-done
}
