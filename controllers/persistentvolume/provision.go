package persistentvolume

import (
	"context"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	volumehelpers "k8s.io/component-helpers/storage/volume"

	claims "github.com/howdah/howdah/controllers/claim"
)

// inTreePrefix is that of kube-controller-manager's own volume plugins, none of
// which is here.
const inTreePrefix = "kubernetes.io/"

// askForVolume tells the driver of a claim's class, by annotations, that the
// claim needs a volume.
func (x *controller) askForVolume(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if !x.provision {
		return nil
	}
	fail := func(message string) { x.events.Event(claim, corev1.EventTypeWarning, "ProvisioningFailed", message) }
	class, err := x.classes.Get(volumehelpers.GetPersistentVolumeClaimClass(claim))
	if err != nil {
		fail(err.Error())
		return nil // the class's event wakes the claim
	}
	provisioner, err := driverFor(class.Provisioner)
	if err != nil {
		fail(err.Error())
		return nil
	}
	uid, changed := string(claim.UID), claim.DeepCopy()
	x.operations.Begin(uid, claims.Operation{Plugin: provisioner, Name: "provision"})
	if claim.Annotations[volumehelpers.AnnStorageProvisioner] != provisioner {
		metav1.SetMetaDataAnnotation(&changed.ObjectMeta, volumehelpers.AnnBetaStorageProvisioner, provisioner)
		metav1.SetMetaDataAnnotation(&changed.ObjectMeta, volumehelpers.AnnStorageProvisioner, provisioner)
		changed.Annotations = migrationMark(changed.Annotations, provisioner)
		if claim, err = x.writeClaim(ctx, changed); err != nil {
			x.ended(uid, err)
			fail(fmt.Sprintf("Error saving claim: %v", err))
			return err
		}
	}
	x.events.Event(claim, corev1.EventTypeNormal, "ExternalProvisioning", fmt.Sprintf("Waiting for a volume to be created either by the external provisioner '%s' "+
		"or manually by the system administrator. If volume creation is delayed, please verify that "+
		"the provisioner is running and correctly registered.", provisioner))
	return nil
}

// driverFor is who makes volumes for a class's provisioner.
func driverFor(provisioner string) (string, error) {
	if driver, ok := claims.Driver(provisioner); ok {
		return driver, nil
	}
	if strings.HasPrefix(provisioner, inTreePrefix) {
		return "", fmt.Errorf("no volume plugin matched name: %s", provisioner)
	}
	return provisioner, nil
}

// migrationMark sets or removes the annotation by which drivers know that they
// took over from an in-tree provisioner. The annotations given aren't changed.
func migrationMark(annotations map[string]string, provisioner string) map[string]string {
	driver, _ := claims.Driver(provisioner)
	if annotations[volumehelpers.AnnMigratedTo] == driver {
		return annotations
	}
	marked := maps.Clone(annotations)
	if driver == "" {
		delete(marked, volumehelpers.AnnMigratedTo)
	} else {
		marked[volumehelpers.AnnMigratedTo] = driver
	}
	return marked
}

// markMigratedClaim keeps the mark of a claim true.
func (x *controller) markMigratedClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*corev1.PersistentVolumeClaim, error) {
	provisioner, ok := claim.Annotations[volumehelpers.AnnStorageProvisioner]
	if !ok {
		if provisioner, ok = claim.Annotations[volumehelpers.AnnBetaStorageProvisioner]; !ok {
			return claim, nil
		}
	}
	marked := migrationMark(claim.Annotations, provisioner)
	if maps.Equal(marked, claim.Annotations) {
		return claim, nil
	}
	changed := claim.DeepCopy()
	changed.Annotations = marked
	return x.writeClaim(ctx, changed)
}

// markMigratedVolume keeps the mark of a volume true, and frees one that a driver
// took over of the finalizer that was the in-tree plugin's.
func (x *controller) markMigratedVolume(ctx context.Context, volume *corev1.PersistentVolume) (*corev1.PersistentVolume, error) {
	provisioner, ok := volume.Annotations[volumehelpers.AnnDynamicallyProvisioned]
	if !ok {
		return volume, nil
	}
	marked, finalizers := migrationMark(volume.Annotations, provisioner), volume.Finalizers
	if _, migrated := claims.Driver(provisioner); migrated {
		finalizers = without(finalizers, volumehelpers.PVDeletionInTreeProtectionFinalizer)
	}
	if maps.Equal(marked, volume.Annotations) && len(finalizers) == len(volume.Finalizers) {
		return volume, nil
	}
	changed := volume.DeepCopy()
	changed.Annotations, changed.Finalizers = marked, finalizers
	return x.writeVolume(ctx, changed)
}

func without(list []string, dropped string) []string {
	var kept []string
	for _, s := range list {
		if s != dropped {
			kept = append(kept, s)
		}
	}
	return kept
}
