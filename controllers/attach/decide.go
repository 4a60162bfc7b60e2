package attach

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// maxWait is how long a detach waits for a node that isn't ready to say that it
// doesn't use the volume.
const maxWait = 6 * time.Minute

// A plan is what is to be done about a volume, by nodes.
type plan struct {
	attach  []string
	detach  []string
	blocked []string // want it and can't have it while another node has it
}

// decide compares who wants a volume with who has it.
func decide[W, H any](wanted map[string]W, held map[string]H, shared bool) plan {
	var p plan
	for _, node := range slices.Sorted(maps.Keys(held)) {
		if _, ok := wanted[node]; !ok {
			p.detach = append(p.detach, node)
		}
	}
	free := shared || len(held) == 0
	for _, node := range slices.Sorted(maps.Keys(wanted)) {
		switch _, has := held[node]; {
		case has:
		case free:
			p.attach = append(p.attach, node)
			free = shared
		default:
			p.blocked = append(p.blocked, node)
		}
	}
	return p
}

// Why a volume is detached without the node's word.
const (
	forcedByTimeout      = "timeout"
	forcedByOutOfService = "out-of-service"
)

// A verdict says whether a volume may be detached from a node.
type verdict struct {
	allowed bool
	forced  string        // why, though the node uses the volume
	wait    time.Duration // until time changes the verdict; 0: it doesn't
}

// mayDetach judges a detach that was asked for so long ago. A node that isn't
// there is nil.
func mayDetach(node *corev1.Node, inUse bool, asked time.Duration, patient bool) verdict {
	switch {
	case !inUse:
		return verdict{allowed: true}
	case outOfService(node):
		return verdict{allowed: true, forced: forcedByOutOfService}
	case patient || ready(node):
		return verdict{}
	case asked >= maxWait:
		return verdict{allowed: true, forced: forcedByTimeout}
	}
	return verdict{wait: maxWait - asked}
}

// outOfService is whether somebody vouches that a node runs nothing any more.
func outOfService(node *corev1.Node) bool {
	return node != nil && slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService })
}

func ready(node *corev1.Node) bool {
	return node != nil && slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// over is whether a pod doesn't need its volumes any more.
func over(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return true
	}
	if pod.DeletionTimestamp == nil {
		return false
	}
	return !slices.ContainsFunc(slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses),
		func(s corev1.ContainerStatus) bool { return s.State.Terminated == nil && s.State.Waiting == nil })
}
