package deployment

import (
	"fmt"
	"math"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reasons of conditions, as upstream has them.
const (
	reasonUpdated       = "ReplicaSetUpdated"
	reasonCreateFailed  = "ReplicaSetCreateError"
	reasonCreated       = "NewReplicaSetCreated"
	reasonFound         = "FoundNewReplicaSet"
	reasonAvailable     = "NewReplicaSetAvailable"
	reasonTimedOut      = "ProgressDeadlineExceeded"
	reasonPaused        = "DeploymentPaused"
	reasonResumed       = "DeploymentResumed"
	reasonMinimum       = "MinimumReplicasAvailable"
	reasonBelowMinimum  = "MinimumReplicasUnavailable"
	messageMinimum      = "Deployment has minimum availability."
	messageBelowMinimum = "Deployment does not have minimum availability."
)

// status is what a Deployment with these ReplicaSets is to say of itself, but
// for its progress.
func status(d *appsv1.Deployment, fresh *appsv1.ReplicaSet, old []*appsv1.ReplicaSet, now time.Time) appsv1.DeploymentStatus {
	all := append(slices.Clone(old), fresh)
	s := appsv1.DeploymentStatus{
		ObservedGeneration:  d.Generation,
		Replicas:            actual(all),
		UpdatedReplicas:     actual([]*appsv1.ReplicaSet{fresh}),
		ReadyReplicas:       sum(all, func(s *appsv1.ReplicaSet) int32 { return s.Status.ReadyReplicas }),
		AvailableReplicas:   available(all),
		UnavailableReplicas: max(0, desired(all)-available(all)),
		TerminatingReplicas: terminating(all),
		CollisionCount:      d.Status.CollisionCount,
		Conditions:          slices.Clone(d.Status.Conditions),
	}
	if _, unavailable := fences(d); s.AvailableReplicas >= *d.Spec.Replicas-unavailable {
		setCondition(&s, condition(appsv1.DeploymentAvailable, corev1.ConditionTrue, reasonMinimum, messageMinimum, now))
	} else {
		setCondition(&s, condition(appsv1.DeploymentAvailable, corev1.ConditionFalse, reasonBelowMinimum, messageBelowMinimum, now))
	}
	return s
}

// terminating is nil as long as one of the ReplicaSets doesn't say.
func terminating(sets []*appsv1.ReplicaSet) *int32 {
	total := int32(0)
	for _, set := range sets {
		switch {
		case set == nil, set.Status.ObservedGeneration == 0 && set.Status.TerminatingReplicas == nil:
		case set.Status.TerminatingReplicas == nil:
			return nil
		default:
			total += *set.Status.TerminatingReplicas
		}
	}
	return &total
}

// progress is status with the conditions that tell how a rollout goes
// (https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status).
func progress(d *appsv1.Deployment, fresh *appsv1.ReplicaSet, old []*appsv1.ReplicaSet, now time.Time) appsv1.DeploymentStatus {
	s := status(d, fresh, old, now)
	who := fmt.Sprintf("Deployment %q", d.Name)
	if fresh != nil {
		who = fmt.Sprintf("ReplicaSet %q", fresh.Name)
	}
	current := conditionOf(&d.Status, appsv1.DeploymentProgressing)
	done := s.Replicas == s.UpdatedReplicas && current != nil && current.Reason == reasonAvailable
	switch {
	case !hasDeadline(d):
		removeCondition(&s, appsv1.DeploymentProgressing)
	case done:
	case complete(d, &s):
		setCondition(&s, condition(appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonAvailable, who+" has successfully progressed.", now))
	case progressed(&d.Status, &s):
		c := condition(appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonUpdated, who+" is progressing.", now)
		if current != nil && current.Status == corev1.ConditionTrue {
			c.LastTransitionTime = current.LastTransitionTime
		}
		removeCondition(&s, appsv1.DeploymentProgressing) // to say again when it last progressed
		setCondition(&s, c)
	case timedOut(d, &s, now):
		setCondition(&s, condition(appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonTimedOut, who+" has timed out progressing.", now))
	}
	if failure := replicaFailure(append([]*appsv1.ReplicaSet{fresh}, old...)); failure != nil {
		setCondition(&s, *failure)
	} else {
		removeCondition(&s, appsv1.DeploymentReplicaFailure)
	}
	return s
}

func complete(d *appsv1.Deployment, s *appsv1.DeploymentStatus) bool {
	want := *d.Spec.Replicas
	return s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want && s.ObservedGeneration >= d.Generation
}

func progressed(before, after *appsv1.DeploymentStatus) bool {
	return after.UpdatedReplicas > before.UpdatedReplicas ||
		after.Replicas-after.UpdatedReplicas < before.Replicas-before.UpdatedReplicas ||
		after.ReadyReplicas > before.ReadyReplicas ||
		after.AvailableReplicas > before.AvailableReplicas
}

func timedOut(d *appsv1.Deployment, s *appsv1.DeploymentStatus, now time.Time) bool {
	c := conditionOf(s, appsv1.DeploymentProgressing)
	if c == nil || c.Reason == reasonAvailable {
		return false
	}
	return c.Reason == reasonTimedOut || c.LastUpdateTime.Add(deadline(d)).Before(now)
}

// nextCheck is how long after now a rollout that does nothing is to be looked at
// for its deadline; 0 is not.
func nextCheck(d *appsv1.Deployment, now time.Time) time.Duration {
	c := conditionOf(&d.Status, appsv1.DeploymentProgressing)
	if !hasDeadline(d) || c == nil || c.Reason == reasonTimedOut || complete(d, &d.Status) {
		return 0
	}
	return max(0, c.LastUpdateTime.Add(deadline(d)).Sub(now)) + time.Second
}

func hasDeadline(d *appsv1.Deployment) bool {
	return d.Spec.ProgressDeadlineSeconds != nil && *d.Spec.ProgressDeadlineSeconds != math.MaxInt32
}

func deadline(d *appsv1.Deployment) time.Duration {
	return time.Duration(*d.Spec.ProgressDeadlineSeconds) * time.Second
}

// replicaFailure is the first ReplicaSet's that can't make its pods.
func replicaFailure(sets []*appsv1.ReplicaSet) *appsv1.DeploymentCondition {
	for _, set := range sets {
		if set == nil {
			continue
		}
		for _, c := range set.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure {
				return &appsv1.DeploymentCondition{
					Type: appsv1.DeploymentReplicaFailure, Status: c.Status, Reason: c.Reason, Message: c.Message,
					LastTransitionTime: c.LastTransitionTime, LastUpdateTime: c.LastTransitionTime,
				}
			}
		}
	}
	return nil
}

func condition(kind appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, message string, now time.Time) appsv1.DeploymentCondition {
	return appsv1.DeploymentCondition{
		Type: kind, Status: status, Reason: reason, Message: message,
		LastUpdateTime: metav1.NewTime(now), LastTransitionTime: metav1.NewTime(now),
	}
}

func conditionOf(s *appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == kind {
			return &s.Conditions[i]
		}
	}
	return nil
}

// setCondition changes a condition unless it says the same for the same reason.
func setCondition(s *appsv1.DeploymentStatus, c appsv1.DeploymentCondition) {
	if current := conditionOf(s, c.Type); current != nil {
		if current.Status == c.Status && current.Reason == c.Reason {
			return
		}
		if current.Status == c.Status {
			c.LastTransitionTime = current.LastTransitionTime
		}
	}
	removeCondition(s, c.Type)
	s.Conditions = append(s.Conditions, c)
}

func removeCondition(s *appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType) {
	s.Conditions = slices.DeleteFunc(s.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Type == kind })
}
