package statefulset

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Claims are deleted by the garbage collector when their owner is: the set, with
// whenDeleted Delete, or a pod that is scaled away, with whenScaled Delete
// (https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention).

var podKind = corev1.SchemeGroupVersion.WithKind("Pod")

// retained are the policies, of which Retain is the default.
func retained(set *appsv1.StatefulSet) (deleted, scaled bool) {
	policy := set.Spec.PersistentVolumeClaimRetentionPolicy
	if policy == nil {
		return true, true
	}
	return policy.WhenDeleted != appsv1.DeletePersistentVolumeClaimRetentionPolicyType, policy.WhenScaled != appsv1.DeletePersistentVolumeClaimRetentionPolicyType
}

// owners are the owner references that a claim of a pod is to have. conflict is
// whether somebody else controls the claim, so that the policy doesn't apply.
func owners(claim *corev1.PersistentVolumeClaim, set *appsv1.StatefulSet, p *corev1.Pod) (refs []metav1.OwnerReference, conflict bool) {
	refs = claim.OwnerReferences
	if stale(refs, set, statefulSetKind) || stale(refs, p, podKind) {
		return refs, false // of a former set or pod: the claim is about to go
	}
	keepDeleted, keepScaled := retained(set)
	others := slices.DeleteFunc(slices.Clone(refs), func(ref metav1.OwnerReference) bool {
		return names(ref, set, statefulSetKind) || names(ref, p, podKind)
	})
	if !keepDeleted || !keepScaled {
		for _, ref := range others {
			if ref.Controller != nil && *ref.Controller {
				return others, true
			}
		}
	}
	condemned := !inRange(set, ordinalOf(set, p))
	switch {
	case condemned && !keepScaled:
		others = append(others, *metav1.NewControllerRef(p, podKind))
	case !keepDeleted:
		others = append(others, *metav1.NewControllerRef(set, statefulSetKind))
	}
	return others, false
}

// sameOwners compares owner references without regard to their order.
func sameOwners(a, b []metav1.OwnerReference) bool {
	controls := func(ref metav1.OwnerReference) bool { return ref.Controller != nil && *ref.Controller }
	return len(a) == len(b) && !slices.ContainsFunc(a, func(ref metav1.OwnerReference) bool {
		return !slices.ContainsFunc(b, func(other metav1.OwnerReference) bool {
			return other.UID == ref.UID && controls(other) == controls(ref)
		})
	})
}

// stale is whether the references name an object that had this one's name.
func stale(refs []metav1.OwnerReference, object metav1.Object, kind schema.GroupVersionKind) bool {
	return slices.ContainsFunc(refs, func(ref metav1.OwnerReference) bool {
		return names(ref, object, kind) && ref.UID != object.GetUID()
	})
}

func names(ref metav1.OwnerReference, object metav1.Object, kind schema.GroupVersionKind) bool {
	return ref.APIVersion == kind.GroupVersion().String() && ref.Kind == kind.Kind && ref.Name == object.GetName()
}
