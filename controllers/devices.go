package controllers

import (
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"

	"github.com/howdah/howdah/controllers/devicetaint"
	"github.com/howdah/howdah/controllers/resourceclaim"
)

// devices are the controllers of dynamic resource allocation.
func devices(o *Options) []row {
	c := &o.Config
	return []row{
		{
			name: names.ResourceClaimController, aliases: []string{"resource-claim-controller"},
			account: "resource-claim-controller",
			setup:   resourceclaim.Setup(int(c.ResourceClaimController.ConcurrentSyncs)),
		}, {
			name:    names.DeviceTaintEvictionController,
			account: "device-taint-eviction-controller",
			setup:   devicetaint.Setup(int(c.DeviceTaintEvictionController.ConcurrentSyncs)),
		},
	}
}
