package persistentvolume

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/labels"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	volumehelpers "k8s.io/component-helpers/storage/volume"
	"k8s.io/utils/ptr"

	"github.com/howdah/howdah/controllers/owned"
)

// byClass is the index of volumes by their storage class.
const byClass = "howdah.class"

func classOf(object any) ([]string, error) {
	volume, ok := object.(*corev1.PersistentVolume)
	if !ok {
		return nil, nil
	}
	return []string{volumehelpers.GetPersistentVolumeClass(volume)}, nil
}

// choose finds a claim its volume; nil: there is none. A volume that doesn't
// refer to the claim yet is held for it, so that no other claim chooses it:
// what is returned is how it is to be written.
func (x *controller) choose(claim *corev1.PersistentVolumeClaim, delayed bool) (volume *corev1.PersistentVolume, held bool, err error) {
	x.choosing.Lock()
	defer x.choosing.Unlock()
	known, err := owned.Indexed[*corev1.PersistentVolume](x.volumeInformer, byClass, volumehelpers.GetPersistentVolumeClaimClass(claim))
	if err != nil {
		return nil, false, err
	}
	volumes := make([]*corev1.PersistentVolume, 0, len(known))
	for _, v := range known {
		if volume, ok := x.volumes.get(v.Name); ok {
			volumes = append(volumes, volume)
		}
	}
	if volume, err = match(claim, volumes, delayed); err != nil || volume == nil {
		return nil, false, err
	}
	if volume, held, err = volumehelpers.GetBindVolumeToClaim(volume, claim); held {
		x.volumes.put(volume)
	}
	return volume, held, err
}

// match is the volume that fits a claim best: one that is meant for it, or else
// of those with the fewest access modes beyond the claim's the smallest. A claim
// whose binding is delayed only gets what is meant for it; the scheduler chooses.
func match(claim *corev1.PersistentVolumeClaim, volumes []*corev1.PersistentVolume, delayed bool) (*corev1.PersistentVolume, error) {
	byModes := map[int][]*corev1.PersistentVolume{}
	var meant []*corev1.PersistentVolume
	for _, volume := range volumes {
		switch {
		case !volumehelpers.CheckAccessModes(claim, volume):
		case volume.Spec.ClaimRef == nil:
			n := len(volume.Spec.AccessModes)
			byModes[n] = append(byModes[n], volume)
		case volumehelpers.IsVolumeBoundToClaim(volume, claim):
			meant = append(meant, volume)
		}
	}
	groups := [][]*corev1.PersistentVolume{meant}
	counts := make([]int, 0, len(byModes))
	for n := range byModes {
		counts = append(counts, n)
	}
	slices.Sort(counts)
	for _, n := range counts {
		groups = append(groups, byModes[n])
	}
	for _, group := range groups {
		volume, err := volumehelpers.FindMatchingVolume(claim, group, nil, nil, delayed, true)
		if err != nil || volume != nil {
			return volume, err
		}
	}
	return nil, nil
}

// mismatch says why a volume that a claim names isn't for it; nil: it is.
func mismatch(volume *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) error {
	have, want := volume.Spec.Capacity[corev1.ResourceStorage], claim.Spec.Resources.Requests[corev1.ResourceStorage]
	switch {
	case volume.DeletionTimestamp != nil:
		return errors.New("the volume is marked for deletion \"" + volume.Name + "\"")
	case have.Value() < want.Value():
		return errors.New("requested PV is too small")
	case volumehelpers.GetPersistentVolumeClass(volume) != volumehelpers.GetPersistentVolumeClaimClass(claim):
		return errors.New("storageClassName does not match")
	case ptr.Deref(volume.Spec.VolumeAttributesClassName, "") != ptr.Deref(claim.Spec.VolumeAttributesClassName, ""):
		return errors.New("volumeAttributesClassName does not match")
	case volumehelpers.CheckVolumeModeMismatches(&claim.Spec, &volume.Spec):
		return errors.New("incompatible volumeMode")
	case !volumehelpers.CheckAccessModes(claim, volume):
		return errors.New("incompatible accessMode")
	}
	return nil
}

// defaultClass is the class of claims that name none: of those marked as default
// the newest; nil if there is none.
func defaultClass(lister storagelisters.StorageClassLister) (*storagev1.StorageClass, error) {
	classes, err := lister.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	classes = slices.DeleteFunc(classes, func(class *storagev1.StorageClass) bool {
		return class.Annotations["storageclass.kubernetes.io/is-default-class"] != "true" && class.Annotations["storageclass.beta.kubernetes.io/is-default-class"] != "true"
	})
	if len(classes) == 0 {
		return nil, nil
	}
	return slices.MinFunc(classes, func(a, b *storagev1.StorageClass) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	}), nil
}
