package statefulset

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// createClaims makes the claims that an ordinal's pod is missing.
func (w *work) createClaims(ctx context.Context, p *corev1.Pod, ordinal int) error {
	var errs []error
	for _, claim := range claims(w.set, ordinal) {
		there, err := w.claims.PersistentVolumeClaims(claim.Namespace).Get(claim.Name)
		switch {
		case err == nil && there.DeletionTimestamp != nil:
			errs = append(errs, fmt.Errorf("pvc %s is being deleted", claim.Name))
		case err == nil:
		case apierrors.IsNotFound(err):
			errs = append(errs, w.createClaim(ctx, p, claim))
		default:
			errs = append(errs, fmt.Errorf("failed to retrieve PVC %s: %w", claim.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (w *work) createClaim(ctx context.Context, p *corev1.Pod, claim *corev1.PersistentVolumeClaim) error {
	created, err := w.client.CoreV1().PersistentVolumeClaims(claim.Namespace).Create(ctx, claim, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("failed to create PVC %s: %w", claim.Name, err)
	case err != nil:
		w.pods.Events.Eventf(w.set, corev1.EventTypeWarning, "FailedCreate", "Create Claim %s for Pod %s in StatefulSet %s failed error: %s", claim.Name, p.Name, w.set.Name, err)
		return fmt.Errorf("failed to create PVC %s: %w", claim.Name, err)
	}
	w.pods.Tracker.Wrote(cache.MetaObjectToName(w.set), w.pvcs.GetStore(), created)
	w.pods.Events.Eventf(w.set, corev1.EventTypeNormal, "SuccessfulCreate", "Create Claim %s Pod %s in StatefulSet %s success", claim.Name, p.Name, w.set.Name)
	return nil
}

// retain gives a pod's claims the owners that the retention policy asks for.
func (w *work) retain(ctx context.Context, p *corev1.Pod) error {
	for _, wanted := range claims(w.set, ordinalOf(w.set, p)) {
		claim, err := w.claims.PersistentVolumeClaims(wanted.Namespace).Get(wanted.Name)
		if apierrors.IsNotFound(err) {
			continue // just made; the next sync sees it
		}
		if err != nil {
			return err
		}
		refs, conflict := owners(claim, w.set, p)
		if conflict {
			w.pods.Events.Eventf(w.set, corev1.EventTypeWarning, "ConflictingController", "PersistentVolumeClaim %s has a conflicting OwnerReference that acts as a manging controller, the retention policy is ignored for this claim", claim.Name)
		}
		if sameOwners(claim.OwnerReferences, refs) {
			continue
		}
		changed := claim.DeepCopy()
		changed.OwnerReferences = refs
		written, err := w.client.CoreV1().PersistentVolumeClaims(claim.Namespace).Update(ctx, changed, metav1.UpdateOptions{})
		if err != nil {
			return fmt.Errorf("could not update claim %s for delete policy ownerRefs: %w", claim.Name, err)
		}
		w.pods.Tracker.Wrote(cache.MetaObjectToName(w.set), w.pvcs.GetStore(), written)
	}
	return nil
}

// awaitsClaims is whether claims of a former pod of this name are yet to be
// collected; a pod that took them would lose them.
func (w *work) awaitsClaims(p *corev1.Pod, ordinal int) (bool, error) {
	if _, keepScaled := retained(w.set); keepScaled {
		return false, nil
	}
	for _, wanted := range claims(w.set, ordinal) {
		claim, err := w.claims.PersistentVolumeClaims(wanted.Namespace).Get(wanted.Name)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return false, err
		}
		if stale(claim.OwnerReferences, p, podKind) {
			w.queue.AddAfter(cache.MetaObjectToName(w.set), claimRecheck)
			return true, nil
		}
	}
	return false, nil
}
