package controllers

import (
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"

	"github.com/howdah/howdah/controllers/attach"
	"github.com/howdah/howdah/controllers/ephemeralvolume"
	"github.com/howdah/howdah/controllers/expansion"
	"github.com/howdah/howdah/controllers/persistentvolume"
	"github.com/howdah/howdah/controllers/protection"
)

// volumes are the controllers of storage.
func volumes(o *Options) []row {
	binder := o.Config.PersistentVolumeBinderController
	return []row{
		{
			name: names.PersistentVolumeBinderController, aliases: []string{"persistentvolume-binder"},
			account: "persistent-volume-binder",
			setup: persistentvolume.Setup(persistentvolume.Options{
				Resync: binder.PVClaimBinderSyncPeriod.Duration, Provision: binder.VolumeConfiguration.EnableDynamicProvisioning,
			}),
		}, {
			name: names.PersistentVolumeAttachDetachController, aliases: []string{"attachdetach"},
			account: "attachdetach-controller",
			setup:   attach.Setup(attach.Options{Patient: o.Config.AttachDetachController.DisableForceDetachOnTimeout}),
		}, {
			name: names.PersistentVolumeExpanderController, aliases: []string{"persistentvolume-expander"},
			account: "expand-controller",
			setup:   expansion.Setup,
		}, {
			name: names.EphemeralVolumeController, aliases: []string{"ephemeral-volume"},
			account: "ephemeral-volume-controller",
			setup:   ephemeralvolume.Setup(int(o.Config.EphemeralVolumeController.ConcurrentEphemeralVolumeSyncs)),
		}, {
			name: names.PersistentVolumeClaimProtectionController, aliases: []string{"pvc-protection"},
			account: "pvc-protection-controller",
			setup:   protection.Claims,
		}, {
			name: names.PersistentVolumeProtectionController, aliases: []string{"pv-protection"},
			account: "pv-protection-controller",
			setup:   protection.Volumes,
		}, {
			name:    names.VolumeAttributesClassProtectionController,
			account: "volumeattributesclass-protection-controller",
			setup:   protection.VolumeAttributesClasses,
		},
	}
}
