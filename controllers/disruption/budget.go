package disruption

import (
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/component-helpers/apps/poddisruptionbudget"

	"github.com/howdah/howdah/controllers/pod"
)

const (
	// deletionTimeout is how long an eviction has for its pod to be deleted.
	// After that the pod counts again.
	deletionTimeout = 2 * time.Minute
	// staleTimeout is how long a pod may say that it is to be disrupted without
	// being deleted.
	staleTimeout = 2 * time.Minute
)

// byScale is whether a budget counts from the size of what controls its pods,
// and not from the pods that there are
// (https://kubernetes.io/docs/tasks/run-application/configure-pdb/).
func byScale(spec *policyv1.PodDisruptionBudgetSpec) bool {
	return spec.MaxUnavailable != nil || spec.MinAvailable != nil && spec.MinAvailable.Type == intstr.String
}

// desired is how many healthy pods a budget wants of those expected.
func desired(spec *policyv1.PodDisruptionBudgetSpec, expected int32) (int32, error) {
	switch {
	case spec.MaxUnavailable != nil:
		n, err := intstr.GetScaledValueFromIntOrPercent(spec.MaxUnavailable, int(expected), true)
		return max(0, expected-int32(n)), err
	case spec.MinAvailable != nil:
		n, err := intstr.GetScaledValueFromIntOrPercent(spec.MinAvailable, int(expected), true)
		return int32(n), err
	}
	return 0, nil
}

// disrupted are the pods whose eviction was granted and that are yet to be
// deleted, those that weren't in time, and when the first of the former is too
// late, if there is any.
func disrupted(pods []*corev1.Pod, granted map[string]metav1.Time, now time.Time) (pending map[string]metav1.Time, late []*corev1.Pod, next time.Time) {
	pending = map[string]metav1.Time{}
	for _, p := range pods {
		at, ok := granted[p.Name]
		if !ok || p.DeletionTimestamp != nil {
			continue
		}
		limit := at.Add(deletionTimeout)
		if limit.Before(now) {
			late = append(late, p)
			continue
		}
		pending[p.Name] = at
		if next.IsZero() || limit.Before(next) {
			next = limit
		}
	}
	return pending, late, next
}

// status is what a budget with these pods is to say.
func status(pdb *policyv1.PodDisruptionBudget, pods []*corev1.Pod, expected, want int32, pending map[string]metav1.Time) policyv1.PodDisruptionBudgetStatus {
	healthy := int32(0)
	for _, p := range pods {
		if _, leaving := pending[p.Name]; !leaving && p.DeletionTimestamp == nil && pod.Ready(p) {
			healthy++
		}
	}
	allowed := max(0, healthy-want)
	if expected <= 0 {
		allowed = 0
	}
	changed := pdb.DeepCopy()
	changed.Status = policyv1.PodDisruptionBudgetStatus{
		CurrentHealthy: healthy, DesiredHealthy: want, ExpectedPods: expected, DisruptionsAllowed: allowed,
		DisruptedPods: maps.Clone(pending), ObservedGeneration: pdb.Generation, Conditions: changed.Status.Conditions,
	}
	if len(pending) == 0 {
		changed.Status.DisruptedPods = nil
	}
	poddisruptionbudget.UpdateDisruptionAllowedCondition(changed)
	return changed.Status
}

// staleFor is how long from now a pod may still say that it is to be disrupted;
// it isn't stale if nothing is to be done about it.
func staleFor(p *corev1.Pod, now time.Time) (wait time.Duration, stale bool) {
	c := pod.Condition(p, corev1.DisruptionTarget)
	if p.DeletionTimestamp != nil || c == nil || c.Status != corev1.ConditionTrue || c.Reason == corev1.PodReasonTerminationByKubelet || pod.Terminal(p) {
		return 0, false
	}
	return max(0, staleTimeout-now.Sub(c.LastTransitionTime.Time)), true
}
