package scheduler

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/client-go/informers"

	"github.com/howdah/howdah/scheduler/placement"
)

// watchVolumes follows what may help pods that wait for volumes.
func (s *Scheduler) watchVolumes(factory informers.SharedInformerFactory) error {
	core, storage := factory.Core().V1(), factory.Storage().V1()
	if err := follow(s, core.PersistentVolumeClaims().Informer(), happens[corev1.PersistentVolumeClaim](s, placement.ClaimAdded, placement.ClaimUpdated, "")); err != nil {
		return err
	}
	if err := follow(s, core.PersistentVolumes().Informer(), happens[corev1.PersistentVolume](s, placement.VolumeAdded, placement.VolumeUpdated, "")); err != nil {
		return err
	}
	if err := follow(s, storage.StorageClasses().Informer(), happens[storagev1.StorageClass](s, placement.ClassAdded, placement.ClassUpdated, "")); err != nil {
		return err
	}
	if err := follow(s, storage.CSINodes().Informer(), happens[storagev1.CSINode](s, placement.CSINodeAdded, placement.CSINodeUpdated, "")); err != nil {
		return err
	}
	if err := follow(s, storage.CSIDrivers().Informer(), happens[storagev1.CSIDriver](s, "", placement.CSIDriverUpdated, "")); err != nil {
		return err
	}
	if err := follow(s, storage.CSIStorageCapacities().Informer(), happens[storagev1.CSIStorageCapacity](s, placement.CapacityAdded, placement.CapacityUpdated, "")); err != nil {
		return err
	}
	return follow(s, storage.VolumeAttachments().Informer(), happens[storagev1.VolumeAttachment](s, "", "", placement.Detached))
}

// happens makes changes of objects events; "" is for changes that help nobody.
func happens[T any](s *Scheduler, added, updated, deleted placement.Cause) func(old, new *T) {
	return func(old, new *T) {
		event := placement.Event{Cause: updated, Old: old, New: new}
		switch {
		case old == nil:
			event = placement.Event{Cause: added, New: new}
		case new == nil:
			event = placement.Event{Cause: deleted, Old: old}
		}
		if event.Cause != "" {
			s.happen(event)
		}
	}
}
