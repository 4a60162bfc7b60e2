package controllers

import (
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"
	"k8s.io/kubernetes/pkg/quota/v1/install"

	"github.com/howdah/howdah/controllers/resourcequota"
)

// quota is the controller of ResourceQuotas, with upstream's knowledge of what
// objects use, which admission goes by too.
func quota(o *Options) row {
	c := o.Config.ResourceQuotaController
	return row{
		name: names.ResourceQuotaController, aliases: []string{"resourcequota"},
		account: "resourcequota-controller",
		setup: resourcequota.Setup(resourcequota.Options{
			Workers: int(c.ConcurrentResourceQuotaSyncs), SyncPeriod: c.ResourceQuotaSyncPeriod.Duration,
			Configuration: install.NewQuotaConfigurationForControllers, Less: install.DefaultUpdateFilter(),
		}),
	}
}
