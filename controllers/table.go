package controllers

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"

	"github.com/howdah/howdah/controllers/garbage"
	"github.com/howdah/howdah/controllers/namespace"
	"github.com/howdah/howdah/controllers/reconcile"
	"github.com/howdah/howdah/controllers/rootca"
	"github.com/howdah/howdah/controllers/serviceaccount"
)

// A row is one controller.
type row struct {
	name    string   // as kube-controller-manager's --controllers has it
	aliases []string // its former names
	account string   // the service account of kube-system that it works as
	setup   reconcile.Setup

	offByDefault bool
}

// table has every controller, in upstream's names. To add one is to add a row.
func table(o *Options) []row {
	return append(workloads(o), []row{
		{
			name: names.ServiceAccountController, aliases: []string{"serviceaccount"},
			account: "service-account-controller",
			setup:   serviceaccount.Setup,
		}, {
			name: names.RootCACertificatePublisherController, aliases: []string{"root-ca-cert-publisher"},
			account: "root-ca-cert-publisher",
			setup:   rootca.Setup(o.RootCA),
		}, {
			name: names.NamespaceController, aliases: []string{"namespace"},
			account: "namespace-controller",
			setup:   namespace.Setup(o.Config.NamespaceController.ConcurrentNamespaceSyncs),
		}, {
			name: names.GarbageCollectorController, aliases: []string{"garbagecollector"},
			account: "generic-garbage-collector",
			setup:   garbage.Setup(garbageOptions(o)),
		},
	}...)
}

func garbageOptions(o *Options) garbage.Options {
	c := o.Config.GarbageCollectorController
	g := garbage.Options{Workers: int(c.ConcurrentGCSyncs)}
	for _, r := range c.GCIgnoredResources {
		g.Ignored = append(g.Ignored, schema.GroupResource{Group: r.Group, Resource: r.Resource})
	}
	return g
}
