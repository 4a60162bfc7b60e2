package persistentvolume

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	volumehelpers "k8s.io/component-helpers/storage/volume"

	claims "github.com/howdah/howdah/controllers/claim"
	pods "github.com/howdah/howdah/controllers/pod"
)

func (x *controller) syncClaim(ctx context.Context, key cache.ObjectName) error {
	claim, ok := x.claims.get(key.String())
	if !ok {
		return nil
	}
	claim, err := x.markMigratedClaim(ctx, claim)
	if err != nil {
		return err
	}
	if metav1.HasAnnotation(claim.ObjectMeta, volumehelpers.AnnBindCompleted) {
		return x.keepBound(ctx, claim)
	}
	if claim.Spec.VolumeName != "" {
		return x.bindToNamed(ctx, claim)
	}
	return x.bindToChosen(ctx, claim)
}

// bindToChosen is for claims that take what there is.
func (x *controller) bindToChosen(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	delayed, err := volumehelpers.IsDelayBindingMode(claim, x.classes)
	if err != nil {
		return err
	}
	volume, held, err := x.choose(claim, delayed)
	if err != nil {
		return fmt.Errorf("error finding PV for claim %q: %w", cache.MetaObjectToName(claim), err)
	}
	if held {
		chosen := volume
		if volume, err = x.writeVolume(ctx, chosen); err != nil {
			x.volumes.forget(chosen)
			return err
		}
	}
	if volume != nil {
		return x.bind(ctx, volume, claim)
	}
	if assigned, err := x.assignClass(ctx, claim); err != nil || assigned {
		return err // if it was, the claim's event comes
	}
	switch {
	case delayed && !volumehelpers.IsDelayBindingProvisioning(claim):
		if err := x.tellDelayed(claim); err != nil {
			return err
		}
	case volumehelpers.GetPersistentVolumeClaimClass(claim) != "":
		return x.askForVolume(ctx, claim)
	default:
		x.events.Event(claim, corev1.EventTypeNormal, "FailedBinding", "no persistent volumes available for this claim and no storage class is set")
	}
	return x.setClaimPhase(ctx, claim, corev1.ClaimPending, nil)
}

// bindToNamed is for claims that name their volume.
func (x *controller) bindToNamed(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	volume, ok := x.volumes.get(claim.Spec.VolumeName)
	switch {
	case !ok: // it may come
		return x.setClaimPhase(ctx, claim, corev1.ClaimPending, nil)
	case volume.Spec.ClaimRef == nil:
		if err := mismatch(volume, claim); err != nil {
			x.events.Event(claim, corev1.EventTypeWarning, "VolumeMismatch", fmt.Sprintf("Cannot bind to requested volume %q: %s", volume.Name, err))
			return x.setClaimPhase(ctx, claim, corev1.ClaimPending, nil)
		}
		return x.bind(ctx, volume, claim)
	case volumehelpers.IsVolumeBoundToClaim(volume, claim):
		return x.bind(ctx, volume, claim)
	}
	x.events.Event(claim, corev1.EventTypeWarning, "FailedBinding", fmt.Sprintf("volume %q already bound to a different claim.", volume.Name))
	if metav1.HasAnnotation(claim.ObjectMeta, volumehelpers.AnnBoundByController) {
		ref := volume.Spec.ClaimRef
		return fmt.Errorf("invalid binding of claim %q to volume %q: volume already claimed by %q", cache.MetaObjectToName(claim), volume.Name, ref.Namespace+"/"+ref.Name)
	}
	return x.setClaimPhase(ctx, claim, corev1.ClaimPending, nil)
}

// keepBound is for claims whose binding was completed: it mends what is missing,
// or says that the volume is lost.
func (x *controller) keepBound(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	lost := func(reason, message string) error {
		if claim.Status.Phase == corev1.ClaimLost {
			return nil
		}
		if err := x.setClaimPhase(ctx, claim, corev1.ClaimLost, nil); err != nil {
			return err
		}
		x.events.Event(claim, corev1.EventTypeWarning, reason, message)
		return nil
	}
	if claim.Spec.VolumeName == "" {
		return lost("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
	}
	volume, ok := x.volumes.get(claim.Spec.VolumeName)
	if !ok {
		// The informer may be behind: ask before the loss is told.
		var err error
		if volume, err = x.client.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{}); apierrors.IsNotFound(err) {
			return lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
		} else if err != nil {
			return err
		}
	}
	if volume.Spec.ClaimRef == nil || volume.Spec.ClaimRef.UID == claim.UID {
		return x.bind(ctx, volume, claim)
	}
	return lost("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
}

// tellDelayed says whom a claim waits for.
func (x *controller) tellDelayed(claim *corev1.PersistentVolumeClaim) error {
	users, err := claims.Pods(x.pods, cache.MetaObjectToName(claim))
	if err != nil {
		return err
	}
	var waiting []string
	for _, pod := range users {
		if !pods.Terminal(pod) && pod.Spec.NodeName == "" {
			waiting = append(waiting, pod.Name)
		}
	}
	switch len(waiting) {
	case 0:
		x.events.Event(claim, corev1.EventTypeNormal, "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
	case 1:
		x.events.Event(claim, corev1.EventTypeNormal, "WaitForPodScheduled", fmt.Sprintf("waiting for pod %s to be scheduled", waiting[0]))
	default:
		x.events.Event(claim, corev1.EventTypeNormal, "WaitForPodScheduled", fmt.Sprintf("waiting for pods %s to be scheduled", strings.Join(waiting, ",")))
	}
	return nil
}

// assignClass gives a claim without a class the default one, if there is one by
// now (https://kubernetes.io/docs/concepts/storage/persistent-volumes/#retroactive-default-storageclass-assignment).
func (x *controller) assignClass(ctx context.Context, claim *corev1.PersistentVolumeClaim) (assigned bool, err error) {
	if volumehelpers.PersistentVolumeClaimHasClass(claim) {
		return false, nil
	}
	class, err := defaultClass(x.classes)
	if err != nil || class == nil {
		return false, err
	}
	changed := claim.DeepCopy()
	changed.Spec.StorageClassName = &class.Name
	_, err = x.writeClaim(ctx, changed)
	retroactive.Inc()
	if err != nil {
		retroactiveErrors.Inc()
		return false, fmt.Errorf("can't update PersistentVolumeClaim[%q]: %w", cache.MetaObjectToName(claim), err)
	}
	return true, nil
}
