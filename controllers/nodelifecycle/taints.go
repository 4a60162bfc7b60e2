package nodelifecycle

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
)

// conditionTaints are the taints by which a condition keeps pods off.
var conditionTaints = map[corev1.NodeConditionType]map[corev1.ConditionStatus]string{
	corev1.NodeReady:              {corev1.ConditionFalse: corev1.TaintNodeNotReady, corev1.ConditionUnknown: corev1.TaintNodeUnreachable},
	corev1.NodeMemoryPressure:     {corev1.ConditionTrue: corev1.TaintNodeMemoryPressure},
	corev1.NodeDiskPressure:       {corev1.ConditionTrue: corev1.TaintNodeDiskPressure},
	corev1.NodeNetworkUnavailable: {corev1.ConditionTrue: corev1.TaintNodeNetworkUnavailable},
	corev1.NodePIDPressure:        {corev1.ConditionTrue: corev1.TaintNodePIDPressure},
}

// ours are the keys of taints that only conditions and cordoning make.
var ours = []string{
	corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeNetworkUnavailable, corev1.TaintNodeMemoryPressure,
	corev1.TaintNodeDiskPressure, corev1.TaintNodePIDPressure, corev1.TaintNodeUnschedulable,
}

// noSchedule are the taints of a node as its conditions ask for, those of other
// origin and effect kept.
func noSchedule(node *corev1.Node) []corev1.Taint {
	wanted := map[string]bool{}
	for _, condition := range node.Status.Conditions {
		if key, ok := conditionTaints[condition.Type][condition.Status]; ok {
			wanted[key] = true
		}
	}
	if node.Spec.Unschedulable {
		wanted[corev1.TaintNodeUnschedulable] = true
	}
	var taints []corev1.Taint
	for _, taint := range node.Spec.Taints {
		mine := taint.Effect == corev1.TaintEffectNoSchedule && slices.Contains(ours, taint.Key)
		if !mine || wanted[taint.Key] {
			taints = append(taints, taint)
		}
		if mine {
			delete(wanted, taint.Key)
		}
	}
	for _, key := range ours {
		if wanted[key] {
			taints = append(taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
		}
	}
	return taints
}

// noExecute are the taints of a node with the evicting one that its readiness
// asks for, and without the other.
func noExecute(node *corev1.Node, status corev1.ConditionStatus, now metav1.Time) []corev1.Taint {
	key := conditionTaints[corev1.NodeReady][status]
	var taints []corev1.Taint
	has := key == ""
	for _, taint := range node.Spec.Taints {
		if taint.Effect == corev1.TaintEffectNoExecute && (taint.Key == corev1.TaintNodeNotReady || taint.Key == corev1.TaintNodeUnreachable) {
			if taint.Key != key {
				continue
			}
			has = true
		}
		taints = append(taints, taint)
	}
	if !has {
		taints = append(taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute, TimeAdded: &now})
	}
	return taints
}

// evicting is whether the node has a taint that evicts for its readiness.
func evicting(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoExecute && (t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable)
	})
}

// setTaints makes a node's taints what wanted says of it.
func setTaints(ctx context.Context, client kubernetes.Interface, node *corev1.Node, wanted func(*corev1.Node) []corev1.Taint) error {
	latest := node
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if latest == nil {
			var err error
			if latest, err = client.CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{}); err != nil {
				return err
			}
		}
		taints := wanted(latest)
		if slices.EqualFunc(taints, latest.Spec.Taints, func(a, b corev1.Taint) bool { return a.MatchTaint(&b) && a.Value == b.Value }) {
			return nil
		}
		if taints == nil {
			taints = []corev1.Taint{}
		}
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"resourceVersion": latest.ResourceVersion, "uid": latest.UID},
			"spec":     map[string]any{"taints": taints},
		})
		if err != nil {
			return fmt.Errorf("make the patch of a node's taints: %w", err)
		}
		latest = nil
		_, err = client.CoreV1().Nodes().Patch(ctx, node.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
