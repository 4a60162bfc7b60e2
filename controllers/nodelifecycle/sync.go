package nodelifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// betaLabels are what the stable labels are copied to.
var betaLabels = map[string]string{
	corev1.LabelOSStable:   "beta.kubernetes.io/os",
	corev1.LabelArchStable: "beta.kubernetes.io/arch",
}

// syncNode makes a node's taints and labels follow its conditions and labels.
func (x *controller) syncNode(ctx context.Context, name string) error {
	node, err := x.nodes.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := setTaints(ctx, x.client, node, noSchedule); err != nil {
		return err
	}
	add := map[string]string{}
	for stable, beta := range betaLabels {
		if value, ok := node.Labels[stable]; ok && node.Labels[beta] != value {
			add[beta] = value
		}
	}
	if len(add) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": add}})
	if err != nil {
		return fmt.Errorf("make the patch of a node's labels: %w", err)
	}
	_, err = x.client.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// syncPod marks a pod that came to a node that is down.
func (x *controller) syncPod(ctx context.Context, name podName) error {
	pod, err := x.pods.Pods(name.namespace).Get(name.name)
	if err == nil {
		var node *corev1.Node
		if node, err = x.nodes.Get(pod.Spec.NodeName); err == nil {
			if condition := conditionOf(node, corev1.NodeReady); condition == nil || condition.Status == corev1.ConditionTrue {
				return nil
			}
			return x.markPods(ctx, []*corev1.Pod{pod})
		}
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// markPods makes pods not ready whose node is down.
func (x *controller) markPods(ctx context.Context, pods []*corev1.Pod) error {
	var failures []error
	for _, pod := range pods {
		changed := false
		marked := pod.DeepCopy()
		for i := range marked.Status.Conditions {
			if c := &marked.Status.Conditions[i]; c.Type == corev1.PodReady && c.Status != corev1.ConditionFalse {
				c.Status, c.LastTransitionTime, changed = corev1.ConditionFalse, metav1.NewTime(x.life.Clock.Now()), true
			}
		}
		if !changed {
			continue
		}
		_, err := x.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, marked, metav1.UpdateOptions{})
		switch {
		case err == nil:
			x.events.Event(pod, corev1.EventTypeWarning, "NodeNotReady", "Node is not ready")
		case !apierrors.IsNotFound(err):
			failures = append(failures, fmt.Errorf("mark the pod %s/%s not ready: %w", pod.Namespace, pod.Name, err))
		}
	}
	return errors.Join(failures...)
}
