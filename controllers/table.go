package controllers

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"

	"github.com/howdah/howdah/controllers/certificates"
	"github.com/howdah/howdah/controllers/clusterroleaggregation"
	"github.com/howdah/howdah/controllers/garbage"
	"github.com/howdah/howdah/controllers/namespace"
	"github.com/howdah/howdah/controllers/nodelifecycle"
	"github.com/howdah/howdah/controllers/podgc"
	"github.com/howdah/howdah/controllers/reconcile"
	"github.com/howdah/howdah/controllers/rootca"
	"github.com/howdah/howdah/controllers/serviceaccount"
	"github.com/howdah/howdah/controllers/tainteviction"
	"github.com/howdah/howdah/controllers/ttl"
	"github.com/howdah/howdah/controllers/ttlafterfinished"
)

// A row is one controller.
type row struct {
	name    string   // as kube-controller-manager's --controllers has it
	aliases []string // its former names
	account string   // the service account of kube-system that it works as; none: as the controller manager itself
	setup   reconcile.Setup

	offByDefault bool
}

// table has every controller, in upstream's names. To add one is to add a row.
func table(o *Options) []row {
	return slices.Concat(workloads(o), services(o), volumes(o), devices(o), housekeeping(o), []row{
		quota(o),
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
		}, {
			name: names.ClusterRoleAggregationController, aliases: []string{"clusterrole-aggregation"},
			account: "clusterrole-aggregation-controller",
			setup:   clusterroleaggregation.Setup,
		}, {
			name: names.CertificateSigningRequestApprovingController, aliases: []string{"csrapproving"},
			account: "certificate-controller",
			setup:   certificates.Approve,
		}, {
			name: names.CertificateSigningRequestSigningController, aliases: []string{"csrsigning"},
			account: "certificate-controller",
			setup:   certificates.Sign(signers(o)),
		}, {
			name: names.CertificateSigningRequestCleanerController, aliases: []string{"csrcleaner"},
			account: "certificate-controller",
			setup:   certificates.Clean,
		}, {
			name: names.PodGarbageCollectorController, aliases: []string{"podgc"},
			account: "pod-garbage-collector",
			setup:   podgc.Setup(o.Config.PodGCController.TerminatedPodGCThreshold),
		}, {
			name: names.NodeLifecycleController, aliases: []string{"nodelifecycle"},
			account: "node-controller",
			setup:   nodelifecycle.Setup(nodeOptions(o)),
		}, {
			name:    names.TaintEvictionController,
			account: "node-controller",
			setup:   tainteviction.Setup,
		}, {
			name: names.TTLController, aliases: []string{"ttl"},
			account: "ttl-controller",
			setup:   ttl.Setup,
		}, {
			name: names.TTLAfterFinishedController, aliases: []string{"ttl-after-finished"},
			account: "ttl-after-finished-controller",
			setup:   ttlafterfinished.Setup(o.Config.TTLAfterFinishedController.ConcurrentTTLSyncs),
		},
	})
}

func garbageOptions(o *Options) garbage.Options {
	c := o.Config.GarbageCollectorController
	g := garbage.Options{Workers: int(c.ConcurrentGCSyncs), Source: o.Objects}
	for _, r := range c.GCIgnoredResources {
		g.Ignored = append(g.Ignored, schema.GroupResource{Group: r.Group, Resource: r.Resource})
	}
	return g
}

// signers are the files of each signer: if any has its own, the common ones sign
// for none, as kube-controller-manager has it.
func signers(o *Options) certificates.Signers {
	c := o.Config.CSRSigningController
	s := certificates.Signers{
		KubeletServing:      certificates.Signer(c.KubeletServingSignerConfiguration),
		KubeletClient:       certificates.Signer(c.KubeletClientSignerConfiguration),
		KubeAPIServerClient: certificates.Signer(c.KubeAPIServerClientSignerConfiguration),
		LegacyUnknown:       certificates.Signer(c.LegacyUnknownSignerConfiguration),
		Lifetime:            c.ClusterSigningDuration.Duration,
	}
	if none := (certificates.Signers{Lifetime: s.Lifetime}); s == none {
		common := certificates.Signer{CertFile: c.ClusterSigningCertFile, KeyFile: c.ClusterSigningKeyFile}
		s.KubeletServing, s.KubeletClient, s.KubeAPIServerClient, s.LegacyUnknown = common, common, common, common
	}
	return s
}

func nodeOptions(o *Options) nodelifecycle.Options {
	c := o.Config.NodeLifecycleController
	return nodelifecycle.Options{
		MonitorPeriod:          c.NodeMonitorPeriod.Duration,
		StartupGracePeriod:     c.NodeStartupGracePeriod.Duration,
		MonitorGracePeriod:     c.NodeMonitorGracePeriod.Duration,
		EvictionRate:           c.NodeEvictionRate,
		SecondaryEvictionRate:  c.SecondaryNodeEvictionRate,
		LargeClusterSize:       c.LargeClusterSizeThreshold,
		UnhealthyZoneThreshold: c.UnhealthyZoneThreshold,
	}
}
