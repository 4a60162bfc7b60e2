package scheduler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/howdah/howdah/scheduler/answer"
	"github.com/howdah/howdah/scheduler/placement"
)

// bindTimeout bounds one request; what became of it is then asked again.
const bindTimeout = 30 * time.Second

var (
	errNotLeading = errors.New("this scheduler does not lead any more")
	errElsewhere  = errors.New("the pod was bound or changed by someone else")
	errPreempted  = errors.New("preempted by " + placement.DefaultPreemption)
)

// bind makes a decision real. What is to be there before lasts no longer than
// preparing.
func (s *Scheduler) bind(ctx, preparing context.Context, a attempt) {
	s.statuses.settle(ctx, a.pod.UID())
	began := s.clock.Now()
	if len(a.reservations) > 0 {
		a.nominated = true // it may take long, and others want to know
		s.statuses.nominate(ctx, a.pod.Obj, a.node)
	}
	err := s.bindReservations(ctx, preparing, a)
	s.metrics.points.WithLabelValues("PreBind", code(err), a.profile.Name).Observe(s.clock.Since(began).Seconds())
	if err == nil {
		began = s.clock.Now()
		err = s.bindBy(ctx, a)
		s.metrics.points.WithLabelValues("Bind", code(err), a.profile.Name).Observe(s.clock.Since(began).Seconds())
	}
	pod := a.pod
	if err != nil {
		s.unbound(ctx, a, err)
		return
	}
	s.log.Debug("bound a pod", "pod", pod.Obj.Namespace+"/"+pod.Obj.Name, "node", a.node, "evaluatedNodes", a.choice.Evaluated, "feasibleNodes", a.choice.Feasible)
	s.metrics.scheduled(a.profile.Name, s.clock.Since(a.start), a.item.Attempts, s.clock.Since(a.item.FirstAttempt), a.item.Flushed)
	s.event(pod.Obj, nil, corev1.EventTypeNormal, "Scheduled", "Binding",
		fmt.Sprintf("Successfully assigned %s/%s to %s", pod.Obj.Namespace, pod.Obj.Name, a.node), false)
	s.lock()
	s.queue.Delete(pod.UID())
	s.mu.Unlock()
}

func (s *Scheduler) bindReservations(ctx, preparing context.Context, a attempt) error {
	for _, reservation := range a.reservations {
		if !s.options.Leads() {
			return errNotLeading
		}
		began := s.clock.Now()
		err := reservation.Bind(preparing)
		s.metrics.plugins.WithLabelValues(reservation.Plugin, "PreBind", code(err)).Observe(s.clock.Since(began).Seconds())
		if err != nil {
			if ctx.Err() != nil || !s.options.Leads() {
				return errNotLeading
			}
			return cmp.Or(context.Cause(preparing), err)
		}
	}
	s.lock()
	defer s.mu.Unlock()
	if one, ok := s.assumed[a.pod.UID()]; ok {
		one.cancel = nil // from now on it is removed as if it were bound
		s.assumed[a.pod.UID()] = one
	}
	if ctx.Err() != nil {
		return errNotLeading
	}
	return context.Cause(preparing)
}

// bindBy binds by the first extender that does that, or else itself.
func (s *Scheduler) bindBy(ctx context.Context, a attempt) error {
	pod := a.pod.Obj
	for _, e := range s.interested(pod) {
		if e.BindVerb == "" {
			continue
		}
		if !s.options.Leads() {
			return errNotLeading
		}
		err := e.Bind(ctx, pod, a.node)
		if err == nil {
			return nil
		}
		// It may have bound the pod all the same.
		if bound, known := s.boundTo(ctx, pod); known && bound == a.node {
			return nil
		}
		if !e.Ignorable {
			return err
		}
	}
	began := s.clock.Now()
	err := s.bindPod(ctx, a)
	s.metrics.plugins.WithLabelValues("DefaultBinder", "Bind", code(err)).Observe(s.clock.Since(began).Seconds())
	return err
}

// bindPod asks for the binding until the answer is certain. Asking again is
// harmless: it is for this pod by its UID and for this node only.
func (s *Scheduler) bindPod(ctx context.Context, a attempt) error {
	pod := a.pod.Obj
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: a.node},
	}
	wait := 10 * time.Millisecond
	for asked := false; ; asked = true {
		if !s.options.Leads() {
			return errNotLeading
		}
		request, cancel := context.WithTimeout(ctx, bindTimeout)
		err := s.options.Bind(request, binding)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return errNotLeading
		case apierrors.IsConflict(err):
			if bound, known := s.boundTo(ctx, pod); known {
				if bound == a.node && asked {
					return nil // by the request whose answer was lost
				}
				return fmt.Errorf("%w: %w", errElsewhere, err)
			}
		case answer.Refused(err):
			return err
		}
		s.log.Debug("asking again for a binding of which it is not certain what became", "pod", pod.Namespace+"/"+pod.Name, "node", a.node, "err", err)
		select {
		case <-ctx.Done():
			return errNotLeading
		case <-s.clock.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// boundTo asks the API where a pod is.
func (s *Scheduler) boundTo(ctx context.Context, pod *corev1.Pod) (string, bool) {
	live, err := s.options.Client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if err != nil || live.UID != pod.UID {
		return "", err == nil || apierrors.IsNotFound(err)
	}
	return live.Spec.NodeName, true
}

// unbound takes back a decision that could not be made real.
func (s *Scheduler) unbound(ctx context.Context, a attempt, cause error) {
	if errors.Is(cause, errNotLeading) {
		// The room stays taken: it is the next leader's to say what is there.
		return
	}
	began := s.clock.Now()
	undo(ctx, a.reservations)
	s.metrics.points.WithLabelValues("Unreserve", code(nil), a.profile.Name).Observe(s.clock.Since(began).Seconds())
	pod := a.pod
	s.lock()
	defer s.mu.Unlock()
	if len(a.reservations) > 0 {
		s.happen(placement.Event{Cause: placement.DeviceClaimed}) // devices that were on their way are free
	}
	if _, ok := s.assumed[pod.UID()]; !ok {
		// It is known by now to be on a node, or to be gone.
		return
	}
	delete(s.assumed, pod.UID())
	s.cluster.RemovePod(pod.UID())
	s.happen(placement.Event{Cause: placement.PodDeleted, Old: pod})
	s.failed(ctx, a, cause)
	s.signal()
}
