// Package pod owns what controllers know of pods: in which state one is, which
// are on a node, which of several to delete first, how to make one from a
// template, to create and delete them with the events that tell of it, and to say
// in a pod's status why it is taken away.
package pod

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Condition returns the pod's condition of a type, or nil.
func Condition(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// Ready is whether the pod says so.
func Ready(pod *corev1.Pod) bool {
	ready := Condition(pod, corev1.PodReady)
	return ready != nil && ready.Status == corev1.ConditionTrue
}

// Available is whether the pod has been ready for minReadySeconds.
func Available(pod *corev1.Pod, minReadySeconds int32, now time.Time) bool {
	if !Ready(pod) {
		return false
	}
	since := Condition(pod, corev1.PodReady).LastTransitionTime
	return minReadySeconds == 0 || !since.IsZero() && !since.Add(seconds(minReadySeconds)).After(now)
}

// NextAvailable is how long after now the first of the ready pods that aren't
// available becomes so; 0 if there is none.
func NextAvailable(pods []*corev1.Pod, minReadySeconds int32, now time.Time) time.Duration {
	var next time.Duration
	for _, pod := range pods {
		if !Ready(pod) || Available(pod, minReadySeconds, now) {
			continue
		}
		wait := seconds(minReadySeconds)
		if since := Condition(pod, corev1.PodReady).LastTransitionTime; !since.IsZero() {
			wait = since.Add(wait).Sub(now)
		}
		if next == 0 || wait < next {
			next = wait
		}
	}
	return next
}

// Terminal is whether all containers ended for good.
func Terminal(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// Active is whether the pod runs or will run.
func Active(pod *corev1.Pod) bool { return !Terminal(pod) && pod.DeletionTimestamp == nil }

// Terminating is whether the pod is being deleted and still runs.
func Terminating(pod *corev1.Pod) bool { return !Terminal(pod) && pod.DeletionTimestamp != nil }

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }
