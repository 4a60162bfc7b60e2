package main

import (
	"github.com/spf13/pflag"
	"k8s.io/kubernetes/pkg/controller/apis/config"
)

// addDeviceFlags adds what the controllers of dynamic resource allocation go by,
// in kube-controller-manager's names and defaults.
func addDeviceFlags(flags *pflag.FlagSet, c *config.KubeControllerManagerConfiguration) {
	claims, taints := &c.ResourceClaimController, &c.DeviceTaintEvictionController
	flags.Int32Var(&claims.ConcurrentSyncs, "concurrent-resourceclaim-syncs", claims.ConcurrentSyncs, "ResourceClaims that are made or deleted at the same time")
	flags.Int32Var(&taints.ConcurrentSyncs, "concurrent-device-taint-eviction-syncs", taints.ConcurrentSyncs, "pods that are evicted from tainted devices at the same time")
}
