package namespace

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// conditionsOf tells of a namespace's deletion in upstream's words. Each
// condition is false when there is nothing to tell.
func conditionsOf(left *remains, wrong *problems, now metav1.Time) []corev1.NamespaceCondition {
	no := func(kind corev1.NamespaceConditionType, reason, message string) corev1.NamespaceCondition {
		return corev1.NamespaceCondition{Type: kind, Status: corev1.ConditionFalse, LastTransitionTime: now, Reason: reason, Message: message}
	}
	conditions := []corev1.NamespaceCondition{
		no(corev1.NamespaceDeletionDiscoveryFailure, "ResourcesDiscovered", "All resources successfully discovered"),
		no(corev1.NamespaceDeletionGVParsingFailure, "ParsedGroupVersions", "All legacy kube types successfully parsed"),
		no(corev1.NamespaceDeletionContentFailure, "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
		no(corev1.NamespaceContentRemaining, "ContentRemoved", "All content successfully removed"),
		no(corev1.NamespaceFinalizersRemaining, "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
	}
	yes := func(i int, reason, message string) {
		conditions[i].Status, conditions[i].Reason, conditions[i].Message = corev1.ConditionTrue, reason, message
	}
	if wrong.discovery != nil {
		yes(0, "DiscoveryFailed", discoveryMessage(wrong.discovery))
	}
	if wrong.versions != nil {
		yes(1, "GroupVersionParsingFailed", wrong.versions.Error())
	}
	if n := len(wrong.content); n > 0 {
		var messages []string
		for _, err := range wrong.content {
			messages = append(messages, err.Error())
		}
		slices.Sort(messages)
		yes(2, "ContentDeletionFailed", fmt.Sprintf("Failed to delete all resource types, %d remaining: %s", n, strings.Join(messages, ", ")))
	}
	var resources, finalizers []string
	for resource, n := range left.resources {
		resources = append(resources, fmt.Sprintf("%s.%s has %d resource instances", resource.Resource, resource.Group, n))
	}
	for finalizer, n := range left.finalizers {
		finalizers = append(finalizers, fmt.Sprintf("%s in %d resource instances", finalizer, n))
	}
	slices.Sort(resources)
	slices.Sort(finalizers)
	if len(resources) > 0 {
		yes(3, "SomeResourcesRemain", "Some resources are remaining: "+strings.Join(resources, ", "))
	}
	if len(finalizers) > 0 {
		yes(4, "SomeFinalizersRemain", "Some content in the namespace has finalizers remaining: "+strings.Join(finalizers, ", "))
	}
	return conditions
}

// update brings the conditions into the status; it says whether that changes it.
func update(status *corev1.NamespaceStatus, conditions []corev1.NamespaceCondition) bool {
	changed := false
	for _, now := range conditions {
		i := slices.IndexFunc(status.Conditions, func(c corev1.NamespaceCondition) bool { return c.Type == now.Type })
		if i < 0 {
			status.Conditions = append(status.Conditions, now)
			changed = true
			continue
		}
		before := &status.Conditions[i]
		if before.Status == now.Status {
			now.LastTransitionTime = before.LastTransitionTime
		}
		if before.Status != now.Status || before.Reason != now.Reason || before.Message != now.Message {
			*before = now
			changed = true
		}
	}
	return changed
}
