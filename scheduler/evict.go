package scheduler

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
)

// evict removes victims while other pods are decided. Until the last one is
// asked to go, the pod that needs their room is not decided again; from then on
// it waits for them to be gone. The lock is held.
func (s *Scheduler) evict(ctx context.Context, a attempt, victims placement.Victims) {
	pod := a.item.Pod
	s.metrics.victims.Observe(float64(len(victims.Pods)))
	var alive []*state.Pod
	for _, victim := range victims.Pods {
		switch one := s.assumed[victim.UID()]; {
		case one.cancel != nil: // it isn't bound yet: enough to give that up
			one.cancel(errPreempted)
			s.preempted(victim.Obj, pod.Obj, victims.Node, " (in kube-scheduler memory).")
		case victim.Obj.DeletionTimestamp == nil:
			alive = append(alive, victim)
		}
	}
	// Those that counted on the node and matter less have to look again.
	for _, other := range append([]*state.Pod(nil), s.nominations.On(victims.Node)...) {
		if other.Priority < pod.Priority {
			s.nominations.Delete(other.UID())
			s.statuses.clearNomination(other.Obj)
			s.queue.Activate(other.UID(), s.clock.Now())
		}
	}
	if len(alive) == 0 {
		return
	}
	s.preempting[pod.UID()] = true
	s.running.Go(func() {
		began := s.clock.Now()
		var failure error
		for i, victim := range alive {
			if i == len(alive)-1 && failure == nil {
				// The event of its end must find the pod ready to be tried.
				s.lock()
				delete(s.preempting, pod.UID())
				s.mu.Unlock()
			}
			if err := s.evictOne(ctx, pod.Obj, victim.Obj, victims.Node); err != nil {
				failure = err
				break
			}
		}
		s.lock()
		delete(s.preempting, pod.UID())
		if failure != nil {
			s.log.Debug("preemption failed; the pod is tried again", "pod", pod.Obj.Namespace+"/"+pod.Obj.Name, "err", failure)
			s.queue.Activate(pod.UID(), s.clock.Now())
		}
		s.mu.Unlock()
		result := "success"
		if failure != nil {
			result = "error"
		}
		s.metrics.evictions.WithLabelValues(result).Inc()
		s.metrics.evicting.WithLabelValues(result).Observe(s.clock.Since(began).Seconds())
		s.signal()
	})
}

// evictOne tells a victim why it has to go, and deletes it.
func (s *Scheduler) evictOne(ctx context.Context, pod, victim *corev1.Pod, node string) error {
	if !s.options.Leads() {
		return errNotLeading
	}
	pods := s.options.Client.CoreV1().Pods(victim.Namespace)
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": victim.UID},
		"status": map[string]any{"conditions": []corev1.PodCondition{{
			Type: corev1.DisruptionTarget, ObservedGeneration: victim.Generation, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler,
			Message:            fmt.Sprintf("%s: preempting to accommodate a higher priority pod", pod.Spec.SchedulerName),
			LastTransitionTime: metav1.NewTime(s.clock.Now()),
		}}},
	})
	if err != nil {
		return err
	}
	if _, err := pods.Patch(ctx, victim.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return nil // gone, or another pod of that name
		}
		return fmt.Errorf("tell a victim of preemption why it goes: %w", err)
	}
	err = pods.Delete(ctx, victim.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(victim.UID))})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete a victim of preemption: %w", err)
	}
	if err == nil {
		s.preempted(victim, pod, node, "")
	}
	return nil
}

func (s *Scheduler) preempted(victim, pod *corev1.Pod, node, how string) {
	s.event(victim, pod, corev1.EventTypeNormal, "Preempted", "Preempting", fmt.Sprintf("Preempted by pod %s on node %s%s", pod.UID, node, how), false)
}
