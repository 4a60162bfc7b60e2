package placement

import (
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/howdah/howdah/scheduler/state"
)

// protect splits pods into those whose loss would violate a disruption budget
// and the others, as if they were lost in this order.
func protect(pods []*state.Pod, budgets []*policyv1.PodDisruptionBudget) (protected, free []*state.Pod) {
	type budget struct {
		*policyv1.PodDisruptionBudget
		selector labels.Selector
		allowed  int32
	}
	var usable []*budget
	for _, b := range budgets {
		if selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector); err == nil && !selector.Empty() {
			usable = append(usable, &budget{b, selector, b.Status.DisruptionsAllowed})
		}
	}
	violates := func(pod *state.Pod) bool {
		if len(pod.Obj.Labels) == 0 {
			return false
		}
		for _, b := range usable {
			if b.Namespace != pod.Obj.Namespace || !b.selector.Matches(labels.Set(pod.Obj.Labels)) {
				continue
			}
			if _, counted := b.Status.DisruptedPods[pod.Obj.Name]; counted {
				continue
			}
			if b.allowed--; b.allowed < 0 {
				return true
			}
		}
		return false
	}
	for _, pod := range pods {
		if violates(pod) {
			protected = append(protected, pod)
		} else {
			free = append(free, pod)
		}
	}
	return protected, free
}
