package pod

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// An Order says which of several pods to delete first
// (https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-down-a-replicaset).
type Order struct {
	// Rank is how many related pods run beside this one; more go first. With it
	// pods also go by their deletion cost, and ages count by orders of
	// magnitude, so that it is not always the youngest who go. Nil is for
	// controllers that don't do so.
	Rank func(*corev1.Pod) int
	Now  time.Time
}

// Sort puts those to be deleted first to the front.
func (o Order) Sort(pods []*corev1.Pod) {
	slices.SortStableFunc(pods, o.compare)
}

func (o Order) compare(a, b *corev1.Pod) int {
	// Unscheduled before scheduled, pending before running, unready before ready.
	if order := cmp.Or(
		compareBool(a.Spec.NodeName != "", b.Spec.NodeName != ""),
		cmp.Compare(phase(a), phase(b)),
		compareBool(Ready(a), Ready(b)),
	); order != 0 {
		return order
	}
	if o.Rank != nil {
		if order := cmp.Or(cmp.Compare(cost(a), cost(b)), cmp.Compare(o.Rank(b), o.Rank(a))); order != 0 {
			return order
		}
	}
	if Ready(a) {
		if order := o.younger(a, b, Condition(a, corev1.PodReady).LastTransitionTime, Condition(b, corev1.PodReady).LastTransitionTime); order != 0 {
			return order
		}
	}
	restarts, sidecarRestarts := Restarts(a)
	otherRestarts, otherSidecarRestarts := Restarts(b)
	return cmp.Or(
		cmp.Compare(otherRestarts, restarts),
		cmp.Compare(otherSidecarRestarts, sidecarRestarts),
		o.younger(a, b, a.CreationTimestamp, b.CreationTimestamp),
	)
}

// younger puts the later of two times first; an unknown time is the latest.
func (o Order) younger(a, b *corev1.Pod, at, bt metav1.Time) int {
	switch {
	case at.Equal(&bt):
		return 0
	case at.IsZero():
		return -1
	case bt.IsZero():
		return 1
	case o.Rank == nil:
		return bt.Compare(at.Time)
	}
	return cmp.Or(cmp.Compare(magnitude(o.Now.Sub(at.Time)), magnitude(o.Now.Sub(bt.Time))), cmp.Compare(a.UID, b.UID))
}

func magnitude(age time.Duration) int {
	if age <= 0 {
		return -1
	}
	return int(math.Log2(float64(age)))
}

// Restarts are the most restarts of a container, and of a sidecar.
func Restarts(pod *corev1.Pod) (containers, sidecars int32) {
	for _, status := range pod.Status.ContainerStatuses {
		containers = max(containers, status.RestartCount)
	}
	for _, status := range pod.Status.InitContainerStatuses {
		if Sidecar(pod, status.Name) {
			sidecars = max(sidecars, status.RestartCount)
		}
	}
	return containers, sidecars
}

// Sidecar is whether an init container goes on beside the others.
func Sidecar(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
		return c.Name == name && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	})
}

func phase(pod *corev1.Pod) int {
	switch pod.Status.Phase {
	case corev1.PodUnknown:
		return 1
	case corev1.PodRunning:
		return 2
	}
	return 0
}

// cost is the pod's deletion cost; validation lets no other numbers in.
func cost(pod *corev1.Pod) int64 {
	n, err := strconv.ParseInt(pod.Annotations[corev1.PodDeletionCost], 10, 32)
	if err != nil {
		return 0
	}
	return n
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
