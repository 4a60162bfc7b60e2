package scheduler

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/queue"
	"github.com/howdah/howdah/scheduler/state"
)

// decideAll decides one pod after the other.
func (s *Scheduler) decideAll(ctx context.Context) {
	for {
		select { // a slot first, so that who waits longest or matters most takes it
		case s.bindings <- struct{}{}:
		case <-s.wake: // no slot, but news
			s.lock()
			s.mu.Unlock()
			continue
		case <-ctx.Done():
			return
		}
		item := s.next(ctx)
		if item == nil {
			return
		}
		if bind := s.decide(ctx, item); bind != nil {
			s.binding.Add(1)
			s.running.Go(func() {
				defer func() { <-s.bindings }()
				bind()
				s.binding.Add(-1)
			})
		} else {
			<-s.bindings
		}
	}
}

// next waits for a pod to decide; nil: ctx ended.
func (s *Scheduler) next(ctx context.Context) *queue.Item {
	for ctx.Err() == nil {
		s.lock()
		item := s.queue.Pop(s.clock.Now())
		s.mu.Unlock()
		if item != nil {
			return item
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
	}
	return nil
}

// decide returns what binds the pod, or nil if no node takes it.
func (s *Scheduler) decide(ctx context.Context, item *queue.Item) func() {
	s.lock()
	defer s.mu.Unlock()
	pod := item.Pod
	profile := s.profiles[pod.Obj.Spec.SchedulerName]
	if !s.queue.Has(pod.UID()) || profile == nil {
		s.queue.Delete(pod.UID())
		return nil
	}
	if pod.Obj.DeletionTimestamp != nil {
		s.event(pod.Obj, nil, corev1.EventTypeWarning, "FailedScheduling", "Scheduling",
			"skip schedule deleting pod: "+pod.Obj.Namespace+"/"+pod.Obj.Name, false)
		s.queue.Delete(pod.UID())
		return nil
	}
	start := s.clock.Now()
	attempt := attempt{item: item, pod: pod, profile: profile, start: start}
	s.began = start
	count(profile.filters)
	var choice placement.Choice
	var diagnosis *placement.Diagnosis
	if extenders := s.interested(pod.Obj); len(extenders) == 0 {
		choice, diagnosis = profile.placer.Find(pod)
	} else if choice, diagnosis = profile.placer.Rank(pod); diagnosis == nil {
		choice, diagnosis = s.extend(ctx, &attempt, extenders, choice)
	}
	if !s.queue.Has(pod.UID()) {
		return nil // gone while extenders were asked
	}
	s.metrics.algorithm.Observe(s.clock.Since(start).Seconds())
	if diagnosis != nil {
		s.unplaced(ctx, attempt, diagnosis)
		return nil
	}
	if choice.Feasible > 1 {
		count(profile.scores)
	}
	attempt.choice, attempt.node = choice, choice.Node
	s.began = s.clock.Now()
	reservations, status := choice.Reserve(choice.Node)
	s.ended(profile.Name, "Reserve", status.Code())
	attempt.reservations = reservations
	if status != nil {
		undo(ctx, reservations)
		s.unplaced(ctx, attempt, placement.Refused(status))
		return nil
	}
	s.cluster.AddPod(pod, choice.Node)
	s.nominations.Delete(pod.UID())
	if len(reservations) == 0 {
		s.assumed[pod.UID()] = assumed{pod: pod, node: choice.Node}
		return func() { s.bind(ctx, ctx, attempt) }
	}
	preparing, cancel := context.WithCancelCause(ctx)
	s.assumed[pod.UID()] = assumed{pod, choice.Node, cancel}
	return func() {
		defer cancel(nil)
		s.bind(ctx, preparing, attempt)
	}
}

// An attempt is one try to place a pod.
type attempt struct {
	item         *queue.Item
	pod          *state.Pod // as it was decided
	profile      *profile
	start        time.Time
	choice       placement.Choice
	node         string
	missed       bool // something happened that the decision may not have seen
	reservations []placement.Taken
	nominated    bool // the API was told of the node before the pod is bound
}

// ended measures a part of a decision. The lock is held.
func (s *Scheduler) ended(profile, point, status string) {
	now := s.clock.Now()
	s.metrics.points.WithLabelValues(point, status, profile).Observe(now.Sub(s.began).Seconds())
	s.began = now
}

func undo(ctx context.Context, reservations []placement.Taken) {
	for i := len(reservations) - 1; i >= 0; i-- {
		reservations[i].Undo(ctx)
	}
}

// event records what happened to a pod, in the name of its scheduler.
func (s *Scheduler) event(pod, related *corev1.Pod, kind, reason, action, note string, repeats bool) {
	s.events.Event(pod, related, kind, pod.Spec.SchedulerName, reason, action, note, repeats)
}
