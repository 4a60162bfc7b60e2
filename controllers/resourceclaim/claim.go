package resourceclaim

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// syncClaim takes from a claim the reservations of pods that are over, and with
// the last one its devices. It deletes a claim made for a pod that is over.
func (x *controller) syncClaim(ctx context.Context, name cache.ObjectName) error {
	claim, err := x.claims.ResourceClaims(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var left []resourceapi.ResourceClaimConsumerReference
	for _, consumer := range claim.Status.ReservedFor {
		keep, err := x.needs(ctx, claim, consumer)
		if err != nil {
			return err
		}
		if keep {
			left = append(left, consumer)
		}
	}
	if err := x.settle(ctx, claim, left); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if len(left) > 0 {
		return nil
	}
	return x.deleteIfOver(ctx, claim)
}

// settle writes which reservations are left; without any, the claim has no
// devices any more and may go.
func (x *controller) settle(ctx context.Context, claim *resourceapi.ResourceClaim, left []resourceapi.ResourceClaimConsumerReference) error {
	ours := slices.Contains(claim.Finalizers, resourceapi.Finalizer)
	switch {
	case len(left) < len(claim.Status.ReservedFor):
		changed := claim.DeepCopy()
		changed.Status.ReservedFor = left
		if len(left) == 0 && ours {
			changed.Status.Allocation = nil
		}
		return x.writeStatus(ctx, changed)
	case ours && claim.DeletionTimestamp != nil && len(left) == 0:
		changed := claim.DeepCopy()
		if changed.Status.Allocation == nil {
			return x.unfinalize(ctx, changed)
		}
		changed.Status.Allocation = nil
		return x.writeStatus(ctx, changed)
	}
	return nil
}

// writeStatus writes a claim's status, and lets the claim go if it has no devices
// any more.
func (x *controller) writeStatus(ctx context.Context, claim *resourceapi.ResourceClaim) error {
	written, err := x.client.ResourceV1().ResourceClaims(claim.Namespace).UpdateStatus(ctx, claim, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	if written.Status.Allocation != nil {
		return nil
	}
	return x.unfinalize(ctx, written)
}

func (x *controller) unfinalize(ctx context.Context, claim *resourceapi.ResourceClaim) error {
	if !slices.Contains(claim.Finalizers, resourceapi.Finalizer) {
		return nil
	}
	claim.Finalizers = slices.DeleteFunc(claim.Finalizers, func(f string) bool { return f == resourceapi.Finalizer })
	_, err := x.client.ResourceV1().ResourceClaims(claim.Namespace).Update(ctx, claim, metav1.UpdateOptions{})
	return err
}

// needs tells whether a consumer still needs a claim. Of consumers that are no
// pods nobody here knows.
func (x *controller) needs(ctx context.Context, claim *resourceapi.ResourceClaim, consumer resourceapi.ResourceClaimConsumerReference) (bool, error) {
	if consumer.APIGroup != corev1.GroupName || consumer.Resource != "pods" {
		return true, nil
	}
	if _, gone := x.gone.Get(consumer.UID); gone {
		return false, nil
	}
	pod, err := x.pods.Pods(claim.Namespace).Get(consumer.Name)
	if apierrors.IsNotFound(err) {
		// It may be so new that only the API has it.
		pod, err = x.client.CoreV1().Pods(claim.Namespace).Get(ctx, consumer.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err != nil || pod.UID == consumer.UID, err
	}
	return err != nil || pod.UID == consumer.UID && !over(pod), err
}

// deleteIfOver deletes a claim that was made for a pod which is over; of pods that
// are gone the garbage collector deletes it.
func (x *controller) deleteIfOver(ctx context.Context, claim *resourceapi.ResourceClaim) error {
	owner := metav1.GetControllerOfNoCopy(claim)
	if owner == nil || owner.APIVersion != "v1" || owner.Kind != "Pod" {
		return nil
	}
	pod, err := x.pods.Pods(claim.Namespace).Get(owner.Name)
	if apierrors.IsNotFound(err) || err == nil && pod.UID == owner.UID && !over(pod) {
		return nil
	}
	if err != nil {
		return err
	}
	err = x.client.ResourceV1().ResourceClaims(claim.Namespace).Delete(ctx, claim.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(claim.UID))})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete unused generated claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	return nil
}
