package main

import (
	"github.com/spf13/pflag"
	"k8s.io/kubernetes/pkg/controller/apis/config"
)

// addVolumeFlags adds what the controllers of storage go by, in
// kube-controller-manager's names and defaults.
func addVolumeFlags(flags *pflag.FlagSet, c *config.KubeControllerManagerConfiguration) {
	binder := &c.PersistentVolumeBinderController
	flags.DurationVar(&binder.PVClaimBinderSyncPeriod.Duration, "pvclaimbinder-sync-period", binder.PVClaimBinderSyncPeriod.Duration, "pause between looks at claims and volumes that aren't bound")
	flags.BoolVar(&binder.VolumeConfiguration.EnableDynamicProvisioning, "enable-dynamic-provisioning", binder.VolumeConfiguration.EnableDynamicProvisioning, "ask drivers for the volumes that claims need")
	attach := &c.AttachDetachController
	flags.BoolVar(&attach.DisableForceDetachOnTimeout, "disable-force-detach-on-timeout", attach.DisableForceDetachOnTimeout, "detach volumes of nodes that don't answer only if they are tainted as out of service")
	flags.Int32Var(&c.EphemeralVolumeController.ConcurrentEphemeralVolumeSyncs, "concurrent-ephemeralvolume-syncs", c.EphemeralVolumeController.ConcurrentEphemeralVolumeSyncs, "pods whose ephemeral volumes get their claims at the same time")
}
