package job

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/howdah/howdah/controllers/pod"
)

// Pauses before a failed pod is replaced double from the first to the last
// (https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-backoff-failure-policy).
const (
	firstBackoff = 10 * time.Second
	lastBackoff  = 10 * time.Minute
)

// failures are how many pods failed since one succeeded, and when the last did.
type failures struct {
	count int
	last  time.Time
}

// after are the failures with pods that newly ended.
func (f failures) after(succeeded, failed []*corev1.Pod) failures {
	var success time.Time
	for _, p := range succeeded {
		if at := endOf(p); at.After(success) {
			success = at
		}
	}
	if len(succeeded) > 0 {
		f = failures{}
	}
	for _, p := range failed {
		at := endOf(p)
		if len(succeeded) > 0 && !at.After(success) {
			continue
		}
		f.count++
		if at.After(f.last) {
			f.last = at
		}
	}
	return f
}

// wait is how long to wait from now.
func (f failures) wait(now time.Time) time.Duration {
	if f.count == 0 {
		return 0
	}
	pause := firstBackoff
	for i := 1; i < f.count && pause < lastBackoff; i++ {
		pause *= 2
	}
	return max(0, min(pause, lastBackoff)-now.Sub(f.last))
}

// endOf is when a pod ended, as well as it can be known: when its last container
// did, or else when it stopped being ready, or else when it was deleted, or else
// when it was created.
func endOf(p *corev1.Pod) time.Time {
	if at, ok := containersEnded(p); ok {
		return at
	}
	if ready := pod.Condition(p, corev1.PodReady); ready != nil && ready.Status == corev1.ConditionFalse && !ready.LastTransitionTime.IsZero() {
		return ready.LastTransitionTime.Time
	}
	if p.DeletionTimestamp != nil {
		grace := int64(0)
		if p.DeletionGracePeriodSeconds != nil {
			grace = *p.DeletionGracePeriodSeconds
		}
		return p.DeletionTimestamp.Add(-time.Duration(grace) * time.Second)
	}
	return p.CreationTimestamp.Time
}

func containersEnded(p *corev1.Pod) (last time.Time, ok bool) {
	for _, s := range p.Status.InitContainerStatuses {
		if pod.Sidecar(p, s.Name) {
			if s.State.Terminated == nil || s.State.Terminated.FinishedAt.IsZero() {
				return last, false
			}
			last = later(last, s.State.Terminated.FinishedAt.Time)
		}
	}
	for _, s := range p.Status.ContainerStatuses {
		if s.State.Terminated == nil || s.State.Terminated.FinishedAt.IsZero() {
			return last, false
		}
		last = later(last, s.State.Terminated.FinishedAt.Time)
	}
	return last, !last.IsZero()
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
