package replicaset

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/howdah/howdah/controllers/pod"
)

// burst is the most pods that one sync creates or deletes.
const burst = 500

// missing is how many pods to create now, or to delete if it is negative.
func missing(want, have int) int { return max(-burst, min(burst, want-have)) }

// excess chooses which of the active pods to delete. Relatives are the pods of
// all ReplicaSets of one Deployment: a node that has many of them gives first.
func excess(active, relatives []*corev1.Pod, count int, now time.Time) []*corev1.Pod {
	if count < len(active) {
		onNode := map[string]int{}
		for _, relative := range relatives {
			if pod.Active(relative) {
				onNode[relative.Spec.NodeName]++
			}
		}
		pod.Order{Now: now, Rank: func(p *corev1.Pod) int { return onNode[p.Spec.NodeName] }}.Sort(active)
	}
	return active[:count]
}

// status is what a set with these pods is to say of itself. failure is why pods
// couldn't be created or deleted, if they couldn't.
func status(s *set, active []*corev1.Pod, terminating int, failure error, now time.Time) appsv1.ReplicaSetStatus {
	result := appsv1.ReplicaSetStatus{ObservedGeneration: s.GetGeneration(), Replicas: int32(len(active)), Conditions: s.status.Conditions}
	template := labels.Set(s.template.Labels).AsSelectorPreValidated()
	for _, p := range active {
		if template.Matches(labels.Set(p.Labels)) {
			result.FullyLabeledReplicas++
		}
		if pod.Ready(p) {
			result.ReadyReplicas++
		}
		if pod.Available(p, s.minReady, now) {
			result.AvailableReplicas++
		}
	}
	if _, ok := s.Owner.(*appsv1.ReplicaSet); ok {
		count := int32(terminating)
		result.TerminatingReplicas = &count
	}
	failed := false
	result.Conditions = nil
	for _, c := range s.status.Conditions {
		failed = failed || c.Type == appsv1.ReplicaSetReplicaFailure
		if c.Type != appsv1.ReplicaSetReplicaFailure || failure != nil {
			result.Conditions = append(result.Conditions, c)
		}
	}
	if failure != nil && !failed {
		reason := "FailedCreate"
		if len(active) > int(s.replicas) {
			reason = "FailedDelete"
		}
		result.Conditions = append(result.Conditions, appsv1.ReplicaSetCondition{
			Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue,
			LastTransitionTime: metav1.NewTime(now), Reason: reason, Message: failure.Error(),
		})
	}
	return result
}

// says is whether the set's status is that already.
func (s *set) says(status appsv1.ReplicaSetStatus) bool {
	return equality.Semantic.DeepEqual(s.status, status)
}
