package persistentvolume

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	volumehelpers "k8s.io/component-helpers/storage/volume"
)

// preResize is the annotation of a volume that is being expanded: the size that
// its claim still has.
const preResize = "volume.alpha.kubernetes.io/pre-resize-capacity"

// bind makes volume and claim refer to each other, as far as they don't yet, and
// says so in their status.
func (x *controller) bind(ctx context.Context, volume *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) error {
	err := x.tie(ctx, volume, claim)
	x.ended(string(claim.UID), err)
	return err
}

func (x *controller) tie(ctx context.Context, volume *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) error {
	bound, changed, err := volumehelpers.GetBindVolumeToClaim(volume, claim)
	if err != nil {
		return err
	}
	if changed {
		if bound, err = x.writeVolume(ctx, bound); err != nil {
			return err
		}
	}
	if bound, err = x.setVolumePhase(ctx, bound, corev1.VolumeBound, ""); err != nil {
		return err
	}
	refers := claim.DeepCopy()
	if refers.Spec.VolumeName != bound.Name {
		refers.Spec.VolumeName = bound.Name
		metav1.SetMetaDataAnnotation(&refers.ObjectMeta, volumehelpers.AnnBoundByController, "yes")
	}
	metav1.SetMetaDataAnnotation(&refers.ObjectMeta, volumehelpers.AnnBindCompleted, "yes")
	if !equality.Semantic.DeepEqual(refers, claim) {
		if claim, err = x.writeClaim(ctx, refers); err != nil {
			// If the claim went before it named the volume, its end says nothing of it.
			x.volumeQueue.Add(bound.Name)
			return err
		}
	}
	return x.setClaimPhase(ctx, claim, corev1.ClaimBound, bound)
}

// unbind takes a volume's reference to a claim back: all of it, if it was made
// here, or what says which object of the claim's name it was.
func (x *controller) unbind(ctx context.Context, volume *corev1.PersistentVolume) error {
	freed := volume.DeepCopy()
	if metav1.HasAnnotation(volume.ObjectMeta, volumehelpers.AnnBoundByController) {
		freed.Spec.ClaimRef = nil
		delete(freed.Annotations, volumehelpers.AnnBoundByController)
	} else {
		freed.Spec.ClaimRef.UID = ""
	}
	freed, err := x.writeVolume(ctx, freed)
	if err != nil {
		return err
	}
	_, err = x.setVolumePhase(ctx, freed, corev1.VolumeAvailable, "")
	return err
}

// claimStatus is what a claim's status says in a phase; volume is that of phase
// Bound.
func claimStatus(claim *corev1.PersistentVolumeClaim, phase corev1.PersistentVolumeClaimPhase, volume *corev1.PersistentVolume) (*corev1.PersistentVolumeClaimStatus, error) {
	status := claim.Status.DeepCopy()
	status.Phase = phase
	if volume == nil {
		status.AccessModes, status.Capacity, status.CurrentVolumeAttributesClassName = nil, nil, nil
		return status, nil
	}
	status.AccessModes = volume.Spec.AccessModes
	if claim.Status.Phase == phase {
		return status, nil // the size is then the expander's to change
	}
	size, ok := volume.Spec.Capacity[corev1.ResourceStorage]
	if !ok {
		return nil, fmt.Errorf("PersistentVolume %q is without a storage capacity", volume.Name)
	}
	if before, resizing := volume.Annotations[preResize]; resizing {
		if parsed, err := resource.ParseQuantity(before); err == nil {
			size = parsed
		}
		if status.Capacity == nil {
			status.Capacity = corev1.ResourceList{}
		}
		status.Capacity[corev1.ResourceStorage] = size
	} else if has, ok := status.Capacity[corev1.ResourceStorage]; !ok || size.Cmp(has) != 0 {
		status.Capacity = volume.Spec.Capacity
	}
	if claim.Status.Phase == corev1.ClaimPending {
		status.CurrentVolumeAttributesClassName = volume.Spec.VolumeAttributesClassName
	}
	return status, nil
}

func (x *controller) setClaimPhase(ctx context.Context, claim *corev1.PersistentVolumeClaim, phase corev1.PersistentVolumeClaimPhase, volume *corev1.PersistentVolume) error {
	status, err := claimStatus(claim, phase, volume)
	if err != nil || equality.Semantic.DeepEqual(*status, claim.Status) {
		return err
	}
	changed := claim.DeepCopy()
	changed.Status = *status
	written, err := x.client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	x.claims.put(written)
	return nil
}

func (x *controller) setVolumePhase(ctx context.Context, volume *corev1.PersistentVolume, phase corev1.PersistentVolumePhase, message string) (*corev1.PersistentVolume, error) {
	if volume.Status.Phase == phase {
		return volume, nil
	}
	changed := volume.DeepCopy()
	changed.Status.Phase, changed.Status.Message = phase, message
	written, err := x.client.CoreV1().PersistentVolumes().UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	if err != nil {
		return nil, err
	}
	x.volumes.put(written)
	return written, nil
}

func (x *controller) writeClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*corev1.PersistentVolumeClaim, error) {
	written, err := x.client.CoreV1().PersistentVolumeClaims(claim.Namespace).Update(ctx, claim, metav1.UpdateOptions{})
	if err != nil {
		return nil, err
	}
	x.claims.put(written)
	return written, nil
}

func (x *controller) writeVolume(ctx context.Context, volume *corev1.PersistentVolume) (*corev1.PersistentVolume, error) {
	written, err := x.client.CoreV1().PersistentVolumes().Update(ctx, volume, metav1.UpdateOptions{})
	if err != nil {
		return nil, err
	}
	x.volumes.put(written)
	return written, nil
}
