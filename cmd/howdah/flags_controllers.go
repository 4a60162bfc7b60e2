package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/client-go/util/cert"

	"github.com/howdah/howdah/controllers"
	"github.com/howdah/howdah/controllers/loadbalancer"
)

// controllerFlags are the flags of the controllers, wherever they run. They
// carry kube-controller-manager's names, meanings and defaults.
type controllerFlags struct {
	defaults   *controllers.Options
	err        error // of making the defaults
	rootCAFile string
	pool       []string
}

func (f *controllerFlags) add(flags *pflag.FlagSet) {
	if f.defaults, f.err = controllers.DefaultOptions(); f.err != nil {
		f.defaults = &controllers.Options{}
	}
	c := &f.defaults.Config
	all, off := controllers.Names()
	flags.StringSliceVar(&c.Generic.Controllers, "controllers", c.Generic.Controllers, "controllers to run: NAME runs it, -NAME doesn't, * runs all that are on by default.\nAll: "+
		strings.Join(all, ", ")+".\nOff by default: "+strings.Join(off, ", "))
	addWorkloadFlags(flags, c)
	addAutoscalingFlags(flags, &c.HPAController)
	addServiceFlags(flags, c)
	addHousekeepingFlags(flags, c)
	flags.StringSliceVar(&f.pool, "service-load-balancer-pool", nil, "addresses for Services of the type LoadBalancer: CIDRs, ranges FIRST-LAST, or single ones, of either family; none: those Services stay pending")
	addVolumeFlags(flags, c)
	addDeviceFlags(flags, c)
	n := &c.NodeLifecycleController
	flags.DurationVar(&n.NodeMonitorPeriod.Duration, "node-monitor-period", n.NodeMonitorPeriod.Duration, "pause between looks at the nodes' heartbeats")
	flags.DurationVar(&n.NodeMonitorGracePeriod.Duration, "node-monitor-grace-period", n.NodeMonitorGracePeriod.Duration, "how long a node may be silent before it counts as down")
	flags.DurationVar(&n.NodeStartupGracePeriod.Duration, "node-startup-grace-period", n.NodeStartupGracePeriod.Duration, "how long a new node may be silent before it counts as down")
	flags.Float32Var(&n.NodeEvictionRate, "node-eviction-rate", n.NodeEvictionRate, "nodes a second whose pods are evicted when they are down, in a healthy zone")
	flags.Float32Var(&n.SecondaryNodeEvictionRate, "secondary-node-eviction-rate", n.SecondaryNodeEvictionRate, "the same in an unhealthy zone; 0 in one of at most --large-cluster-size-threshold nodes")
	flags.Int32Var(&n.LargeClusterSizeThreshold, "large-cluster-size-threshold", n.LargeClusterSizeThreshold, "nodes from which an unhealthy zone is evicted from at all")
	flags.Float32Var(&n.UnhealthyZoneThreshold, "unhealthy-zone-threshold", n.UnhealthyZoneThreshold, "share of nodes down, at least 3, from which a zone counts as unhealthy")
	flags.Int32Var(&c.PodGCController.TerminatedPodGCThreshold, "terminated-pod-gc-threshold", c.PodGCController.TerminatedPodGCThreshold, "finished pods that are kept; 0 or less keeps all")
	flags.Int32Var(&c.NamespaceController.ConcurrentNamespaceSyncs, "concurrent-namespace-syncs", c.NamespaceController.ConcurrentNamespaceSyncs, "namespaces that are emptied at once")
	flags.Int32Var(&c.GarbageCollectorController.ConcurrentGCSyncs, "concurrent-gc-syncs", c.GarbageCollectorController.ConcurrentGCSyncs, "objects that the garbage collector works on at once")
	flags.Int32Var(&c.TTLAfterFinishedController.ConcurrentTTLSyncs, "concurrent-ttl-after-finished-syncs", c.TTLAfterFinishedController.ConcurrentTTLSyncs, "finished Jobs that are deleted at once")
	f.addSigning(flags)
	flags.StringVar(&f.rootCAFile, "root-ca-file", "", "certificates by which pods trust the API server, published in every namespace; by default those by which this process trusts it")
}

func (f *controllerFlags) options() (*controllers.Options, error) {
	if f.err != nil {
		return nil, f.err
	}
	o := *f.defaults
	if f.rootCAFile != "" {
		var err error
		if o.RootCA, err = os.ReadFile(f.rootCAFile); err != nil {
			return nil, fmt.Errorf("read --root-ca-file: %w", err)
		}
		if _, err := cert.ParseCertsPEM(o.RootCA); err != nil {
			return nil, fmt.Errorf("--root-ca-file %s: %w", f.rootCAFile, err)
		}
	}
	var err error
	if o.LoadBalancerPool, err = loadbalancer.ParsePool(f.pool); err != nil {
		return nil, fmt.Errorf("--service-load-balancer-pool: %w", err)
	}
	return &o, o.Validate()
}

func (f *controllerFlags) addSigning(flags *pflag.FlagSet) {
	s := &f.defaults.Config.CSRSigningController
	flags.DurationVar(&s.ClusterSigningDuration.Duration, "cluster-signing-duration", s.ClusterSigningDuration.Duration, "the most that a signed certificate lives")
	for name, files := range map[string][2]*string{
		"":                       {&s.ClusterSigningCertFile, &s.ClusterSigningKeyFile},
		"kubelet-serving-":       {&s.KubeletServingSignerConfiguration.CertFile, &s.KubeletServingSignerConfiguration.KeyFile},
		"kubelet-client-":        {&s.KubeletClientSignerConfiguration.CertFile, &s.KubeletClientSignerConfiguration.KeyFile},
		"kube-apiserver-client-": {&s.KubeAPIServerClientSignerConfiguration.CertFile, &s.KubeAPIServerClientSignerConfiguration.KeyFile},
		"legacy-unknown-":        {&s.LegacyUnknownSignerConfiguration.CertFile, &s.LegacyUnknownSignerConfiguration.KeyFile},
	} {
		of := "all signers of CertificateSigningRequests; by default, in howdah server, its own authority signs"
		if name != "" {
			of = "the signer kubernetes.io/" + signerOf[name] + "; once one signer has its own, --cluster-signing-cert-file is for none"
		}
		flags.StringVar(files[0], "cluster-signing-"+name+"cert-file", "", "certificate of "+of)
		flags.StringVar(files[1], "cluster-signing-"+name+"key-file", "", "private key of --cluster-signing-"+name+"cert-file")
	}
}

var signerOf = map[string]string{
	"kubelet-serving-": "kubelet-serving", "kubelet-client-": "kube-apiserver-client-kubelet",
	"kube-apiserver-client-": "kube-apiserver-client", "legacy-unknown-": "legacy-unknown",
}
