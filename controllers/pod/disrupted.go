package pod

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// Disrupted is the condition of a pod that the control plane takes away
// (https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions).
func Disrupted(pod *corev1.Pod, reason, message string, now metav1.Time) *corev1.PodCondition {
	return &corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, ObservedGeneration: pod.Generation,
		Reason: reason, Message: message, LastTransitionTime: now,
	}
}

// PatchStatus sets a condition, unless it is nil, and the phase, unless it is
// empty, of just this pod and none of the same name.
func PatchStatus(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod, phase corev1.PodPhase, condition *corev1.PodCondition) error {
	type status struct {
		Phase              corev1.PodPhase       `json:"phase,omitempty"`
		ObservedGeneration int64                 `json:"observedGeneration,omitempty"`
		Conditions         []corev1.PodCondition `json:"conditions,omitempty"`
	}
	patch := struct {
		Metadata struct {
			UID types.UID `json:"uid"`
		} `json:"metadata"`
		Status status `json:"status"`
	}{Status: status{Phase: phase, ObservedGeneration: pod.Generation}}
	patch.Metadata.UID = pod.UID
	if condition != nil {
		patch.Status.Conditions = []corev1.PodCondition{*condition}
	}
	data, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("make the patch of a pod's status: %w", err)
	}
	_, err = client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
	return err
}
