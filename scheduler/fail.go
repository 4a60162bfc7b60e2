package scheduler

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/howdah/howdah/scheduler/placement"
)

// unplaced deals with a pod that no node takes: it makes room if it may, tells
// the user, and parks the pod. The lock is held.
func (s *Scheduler) unplaced(ctx context.Context, a attempt, diagnosis *placement.Diagnosis) {
	if err := diagnosis.Err(); err != nil {
		s.failed(ctx, a, err)
		return
	}
	pod := a.item.Pod
	nominated, renominate := "", true
	s.began = s.clock.Now()
	if a.profile.Preempts && a.node == "" && !diagnosis.Empty() {
		nominated, renominate = s.preempt(ctx, a, diagnosis)
		s.metrics.plugins.WithLabelValues(placement.DefaultPreemption, "PostFilter", preempted(nominated)).Observe(s.clock.Since(s.began).Seconds())
	}
	if a.node == "" && diagnosis.CanUnblock() && !s.unblock(ctx, &a, diagnosis) {
		return
	}
	if a.node == "" && !diagnosis.Empty() {
		s.ended(a.profile.Name, "PostFilter", preempted(nominated))
	}
	s.metrics.unschedulable(a.profile.Name, s.clock.Since(a.start))
	message := diagnosis.String()
	s.log.Debug("no node takes a pod", "pod", pod.Obj.Namespace+"/"+pod.Obj.Name, "why", message)
	s.queue.Park(a.item, rejectors(diagnosis), a.missed, s.clock.Now())
	if renominate {
		s.nominations.Set(pod, nominated)
	}
	s.event(pod.Obj, nil, corev1.EventTypeWarning, "FailedScheduling", "Scheduling", message, true)
	s.statuses.set(pod.Obj, corev1.PodReasonUnschedulable, message, nominated, renominate)
}

// preempted is kube-scheduler's word for what preemption came to.
func preempted(nominated string) string {
	if nominated == "" {
		return "Unschedulable"
	}
	return "Success"
}

// unblock lets plugins give up what the pod has, after which it is tried again;
// false: the pod is gone. The lock is held before and after, but not meanwhile.
func (s *Scheduler) unblock(ctx context.Context, a *attempt, diagnosis *placement.Diagnosis) bool {
	if !s.options.Leads() {
		return true
	}
	s.mu.Unlock()
	done, err := diagnosis.Unblock(ctx)
	s.lock()
	if err != nil {
		done = append(done, err.Error())
	}
	if diagnosis.AfterMessage != "" {
		done = append(done, diagnosis.AfterMessage)
	}
	diagnosis.AfterMessage = strings.Join(done, ", ")
	a.missed = true
	return s.queue.Has(a.item.Pod.UID())
}

// rejectors names who refused. A cluster without nodes is helped by a node.
func rejectors(diagnosis *placement.Diagnosis) map[string]bool {
	if diagnosis.Empty() {
		return map[string]bool{placement.NodeName: true}
	}
	return diagnosis.Plugins
}

// failed deals with an attempt that ended by an error; the pod is tried again.
// The lock is held.
func (s *Scheduler) failed(_ context.Context, a attempt, cause error) {
	pod := a.item.Pod
	s.metrics.failed(a.profile.Name, s.clock.Since(a.start))
	s.log.Debug("an attempt to place a pod failed; it is tried again", "pod", pod.Obj.Namespace+"/"+pod.Obj.Name, "err", cause)
	s.queue.Retry(a.item, s.clock.Now())
	s.nominations.Delete(pod.UID())
	s.event(pod.Obj, nil, corev1.EventTypeWarning, "FailedScheduling", "Scheduling", cause.Error(), true)
	obj := pod.Obj
	if a.nominated && obj.Status.NominatedNodeName != a.node {
		obj = obj.DeepCopy() // what informers haven't told yet is to be taken back, too
		obj.Status.NominatedNodeName = a.node
	}
	s.statuses.set(obj, corev1.PodReasonSchedulerError, cause.Error(), "", true)
}

// preempt looks for victims and has them removed. It returns the node to which
// the pod is nominated, and whether its nomination changes at all.
func (s *Scheduler) preempt(ctx context.Context, a attempt, diagnosis *placement.Diagnosis) (string, bool) {
	s.metrics.preemptionAttempts.Inc()
	budgets, err := s.budgets.List(labels.Everything())
	if err != nil {
		diagnosis.AfterMessage = "preemption: " + err.Error()
		return "", false
	}
	now := s.clock.Now()
	preemption := a.profile.placer.Preempt(a.item.Pod, diagnosis, budgets, now)
	if len(preemption.Candidates) == 0 {
		diagnosis.AfterMessage = "preemption: " + preemption.Message
		return "", !preemption.Ineligible
	}
	if preemption.Candidates, err = s.preemptExtended(ctx, a.item.Pod, preemption.Candidates); err != nil {
		diagnosis.AfterMessage = "preemption: " + err.Error()
		return "", false
	}
	if len(preemption.Candidates) == 0 {
		diagnosis.AfterMessage = "preemption: no candidate node for preemption"
		return "", false
	}
	victims := placement.Pick(preemption.Candidates, now)
	diagnosis.AfterMessage = "preemption: " + victims.String()
	s.evict(ctx, a, victims)
	return victims.Node, true
}
