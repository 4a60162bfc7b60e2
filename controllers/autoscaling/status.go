package autoscaling

import (
	"context"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

func (l *look) setStatus(current, desired int32, metrics []autoscalingv2.MetricStatus) {
	s := &l.hpa.Status
	s.CurrentReplicas, s.DesiredReplicas, s.CurrentMetrics = current, desired, metrics
	s.ObservedGeneration = &l.hpa.Generation
	desiredCount.WithLabelValues(l.hpa.Namespace, l.hpa.Name).Set(float64(desired))
}

// write writes the status if it says something new.
func (l *look) write(ctx context.Context) error {
	if equality.Semantic.DeepEqual(l.before, &l.hpa.Status) {
		return nil
	}
	written, err := l.client.AutoscalingV2().HorizontalPodAutoscalers(l.hpa.Namespace).UpdateStatus(ctx, l.hpa, metav1.UpdateOptions{})
	if err != nil {
		l.events.Event(l.hpa, corev1.EventTypeWarning, "FailedUpdateStatus", err.Error())
		return fmt.Errorf("failed to update status for %s: %w", l.hpa.Name, err)
	}
	l.tracker.Wrote(cache.MetaObjectToName(l.hpa), l.store, written)
	return nil
}

func (l *look) condition(kind autoscalingv2.HorizontalPodAutoscalerConditionType, status corev1.ConditionStatus, reason, format string, args ...any) {
	conditions := &l.hpa.Status.Conditions
	var found *autoscalingv2.HorizontalPodAutoscalerCondition
	for i := range *conditions {
		if (*conditions)[i].Type == kind {
			found = &(*conditions)[i]
		}
	}
	if found == nil {
		*conditions = append(*conditions, autoscalingv2.HorizontalPodAutoscalerCondition{Type: kind})
		found = &(*conditions)[len(*conditions)-1]
	}
	if found.Status != status {
		found.LastTransitionTime = metav1.NewTime(l.now)
	}
	found.Status, found.Reason, found.Message = status, reason, fmt.Sprintf(format, args...)
}

func (l *look) is(kind autoscalingv2.HorizontalPodAutoscalerConditionType) bool {
	for _, condition := range l.hpa.Status.Conditions {
		if condition.Type == kind {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
