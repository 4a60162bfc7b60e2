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
)

func (x *controller) syncVolume(ctx context.Context, name string) error {
	volume, ok := x.volumes.get(name)
	if !ok {
		return nil
	}
	volume, err := x.markMigratedVolume(ctx, volume)
	if err != nil {
		return err
	}
	if ref := volume.Spec.ClaimRef; ref == nil || ref.UID == "" {
		// Nobody's, or meant for a claim that hasn't come.
		_, err := x.setVolumePhase(ctx, volume, corev1.VolumeAvailable, "")
		return err
	}
	claim, err := x.claimOf(ctx, volume)
	if err != nil {
		return err
	}
	switch {
	case claim == nil:
		return x.release(ctx, volume)
	case claim.Spec.VolumeName == volume.Name:
		if _, err := x.setVolumePhase(ctx, volume, corev1.VolumeBound, ""); err != nil {
			return err
		}
		if claim.Status.Phase == corev1.ClaimLost {
			x.enqueueClaim(claim)
		}
		return nil
	case claim.Spec.VolumeName == "":
		if volumehelpers.CheckVolumeModeMismatches(&claim.Spec, &volume.Spec) {
			x.events.Event(volume, corev1.EventTypeWarning, "VolumeMismatch", fmt.Sprintf("Cannot bind PersistentVolume to requested PersistentVolumeClaim %q due to incompatible volumeMode.", claim.Name))
			x.events.Event(claim, corev1.EventTypeWarning, "VolumeMismatch", fmt.Sprintf("Cannot bind PersistentVolume %q to requested PersistentVolumeClaim due to incompatible volumeMode.", volume.Name))
			return nil
		}
		x.enqueueClaim(claim) // which finishes the binding
		return nil
	case metav1.HasAnnotation(volume.ObjectMeta, volumehelpers.AnnDynamicallyProvisioned) && volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete:
		return x.release(ctx, volume) // made for a claim that took another
	}
	return x.unbind(ctx, volume)
}

// claimOf is the claim that a volume is bound to; nil: it is gone.
func (x *controller) claimOf(ctx context.Context, volume *corev1.PersistentVolume) (*corev1.PersistentVolumeClaim, error) {
	ref := volume.Spec.ClaimRef
	claim, ok := x.claims.get(cache.ObjectName{Namespace: ref.Namespace, Name: ref.Name}.String())
	released := volume.Status.Phase == corev1.VolumeReleased || volume.Status.Phase == corev1.VolumeFailed
	if ok && claim.UID == ref.UID || !ok && released {
		return claim, nil
	}
	// The informer may be behind: ask before the volume is released.
	claim, err := x.client.CoreV1().PersistentVolumeClaims(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && claim.UID != ref.UID {
		return nil, nil
	}
	return claim, err
}

// release says that a volume's claim is gone and does what its policy asks.
func (x *controller) release(ctx context.Context, volume *corev1.PersistentVolume) error {
	reason, message := unreclaimable(volume)
	if reason == "" && volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
		x.operations.Begin(string(volume.UID), claims.Operation{Plugin: deleter(volume), Name: "delete"})
	}
	if volume.Status.Phase != corev1.VolumeReleased && volume.Status.Phase != corev1.VolumeFailed {
		var err error
		if volume, err = x.setVolumePhase(ctx, volume, corev1.VolumeReleased, ""); err != nil {
			return err
		}
	}
	if reason == "" || volume.Status.Phase == corev1.VolumeFailed {
		return nil
	}
	failed, err := x.setVolumePhase(ctx, volume, corev1.VolumeFailed, message)
	if err != nil {
		return err
	}
	x.events.Event(failed, corev1.EventTypeWarning, reason, message)
	return nil
}

// deleter is the driver that deletes a volume.
func deleter(volume *corev1.PersistentVolume) string {
	if driver := volume.Annotations[volumehelpers.AnnMigratedTo]; driver != "" {
		return driver
	}
	if provisioner := volume.Annotations[volumehelpers.AnnDynamicallyProvisioned]; provisioner != "" || volume.Spec.CSI == nil {
		return provisioner
	}
	return volume.Spec.CSI.Driver
}

// unreclaimable says why nobody does what a released volume's policy asks; "":
// there is nothing to do, or a driver does it.
func unreclaimable(volume *corev1.PersistentVolume) (reason, message string) {
	if volume.Annotations[volumehelpers.AnnMigratedTo] != "" {
		return "", ""
	}
	switch volume.Spec.PersistentVolumeReclaimPolicy {
	case corev1.PersistentVolumeReclaimRetain:
		return "", ""
	case corev1.PersistentVolumeReclaimRecycle:
		return "VolumeFailedRecycle", "No recycler plugin found for the volume!"
	case corev1.PersistentVolumeReclaimDelete:
		provisioner := volume.Annotations[volumehelpers.AnnDynamicallyProvisioned]
		switch {
		case strings.HasPrefix(provisioner, inTreePrefix):
			return "VolumeFailedDelete", "no volume plugin matched name: " + provisioner
		case provisioner != "" || volume.Spec.CSI != nil:
			return "", ""
		}
		return "VolumeFailedDelete", fmt.Sprintf("error getting deleter volume plugin for volume %q: no deletable volume plugin matched", volume.Name)
	}
	return "VolumeUnknownReclaimPolicy", "Volume has unrecognized PersistentVolumeReclaimPolicy"
}
