package nodelifecycle

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// health is what is remembered of a node between passes.
type health struct {
	seen      bool        // had a Ready condition
	heartbeat metav1.Time // of the Ready condition
	renewed   time.Time   // of the lease
	leaseAt   string      // resourceVersion of the lease
	probed    time.Time   // when we last learned of a sign of life, by our own clock
}

// observe takes in what a pass sees. lease is nil if there is none.
func (h *health) observe(node *corev1.Node, lease *coordinationv1.Lease, now time.Time) {
	condition := conditionOf(node, corev1.NodeReady)
	switch {
	case condition == nil && h.probed.IsZero():
		h.probed = node.CreationTimestamp.Time
	case condition == nil && h.seen:
		h.seen, h.probed = false, now // taken away, by whomever
	case condition != nil && (!h.seen || !h.heartbeat.Equal(&condition.LastHeartbeatTime)):
		h.seen, h.heartbeat, h.probed = true, condition.LastHeartbeatTime, now
	}
	if lease == nil {
		return
	}
	h.leaseAt = lease.ResourceVersion
	if lease.Spec.RenewTime != nil && lease.Spec.RenewTime.After(h.renewed) {
		h.renewed, h.probed = lease.Spec.RenewTime.Time, now
	}
}

// silent is whether the node has given no sign of life for too long.
func (h *health) silent(node *corev1.Node, now time.Time, startup, monitor time.Duration) bool {
	grace := monitor
	if conditionOf(node, corev1.NodeReady) == nil {
		grace = startup
	}
	return now.After(h.probed.Add(grace))
}

// unknown makes the conditions of a silent node Unknown. It says whether that
// changed anything.
func unknown(node *corev1.Node, now metav1.Time) bool {
	changed := false
	for _, kind := range []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
		condition := conditionOf(node, kind)
		switch {
		case condition == nil:
			node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{
				Type: kind, Status: corev1.ConditionUnknown, Reason: "NodeStatusNeverUpdated", Message: "Kubelet never posted node status.",
				LastHeartbeatTime: node.CreationTimestamp, LastTransitionTime: now,
			})
			changed = true
		case condition.Status != corev1.ConditionUnknown:
			condition.Status, condition.Reason, condition.Message = corev1.ConditionUnknown, "NodeStatusUnknown", "Kubelet stopped posting node status."
			condition.LastTransitionTime = now
			changed = true
		}
	}
	return changed
}

func conditionOf(node *corev1.Node, kind corev1.NodeConditionType) *corev1.NodeCondition {
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == kind {
			return &node.Status.Conditions[i]
		}
	}
	return nil
}

// readiness is the status of the Ready condition; Unknown if there is none.
func readiness(node *corev1.Node) corev1.ConditionStatus {
	if condition := conditionOf(node, corev1.NodeReady); condition != nil {
		return condition.Status
	}
	return corev1.ConditionUnknown
}
