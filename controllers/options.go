package controllers

import (
	"errors"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	kubecontrollermanagerv1alpha1 "k8s.io/kube-controller-manager/config/v1alpha1"
	"k8s.io/kubernetes/pkg/controller/apis/config"
	"k8s.io/kubernetes/pkg/controller/apis/config/scheme"
	signing "k8s.io/kubernetes/pkg/controller/certificates/signer/config"
	garbagecollector "k8s.io/kubernetes/pkg/controller/garbagecollector/config"

	"github.com/howdah/howdah/controllers/garbage"
	"github.com/howdah/howdah/controllers/loadbalancer"
	"github.com/howdah/howdah/controllers/nodeipam"
)

// Options say what the controllers do.
type Options struct {
	// Config is kube-controller-manager's configuration; what a flag changes
	// there is changed here. Fields that no flag of ours sets have no effect.
	Config config.KubeControllerManagerConfiguration
	// RootCA is what pods trust the API server by, in PEM. It is published to
	// every namespace.
	RootCA []byte
	// LoadBalancerPool has the addresses of Services of the type LoadBalancer.
	LoadBalancerPool loadbalancer.Pool
	// SecretToken makes the token of a Secret of the type
	// kubernetes.io/service-account-token; without it they stay empty.
	SecretToken func(*corev1.ServiceAccount, *corev1.Secret) (string, error)
	// Objects tells the garbage collector of objects in this process; may be nil.
	Objects garbage.Source
	// ServiceRanges are those of Services, which no node's pods get.
	ServiceRanges []netip.Prefix

	podRanges []nodeipam.Range // of Config, once it has been validated
}

// DefaultOptions have kube-controller-manager's defaults
// (https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/).
func DefaultOptions() (*Options, error) {
	defaults := kubecontrollermanagerv1alpha1.KubeControllerManagerConfiguration{}
	scheme.Scheme.Default(&defaults)
	o := &Options{}
	if err := scheme.Scheme.Convert(&defaults, &o.Config, nil); err != nil {
		return nil, fmt.Errorf("take kube-controller-manager's defaults: %w", err)
	}
	// Events have no owners and change all the time.
	o.Config.GarbageCollectorController.GCIgnoredResources = []garbagecollector.GroupResource{
		{Resource: "events"}, {Group: "events.k8s.io", Resource: "events"},
	}
	o.Config.KubeCloudShared.CIDRAllocatorType = rangeAllocator // the flag's default, which the scheme leaves to it
	return o, nil
}

// External is the configuration as /configz shows it.
func (o *Options) External() (*kubecontrollermanagerv1alpha1.KubeControllerManagerConfiguration, error) {
	external := &kubecontrollermanagerv1alpha1.KubeControllerManagerConfiguration{}
	if err := scheme.Scheme.Convert(&o.Config, external, nil); err != nil {
		return nil, fmt.Errorf("convert the configuration for /configz: %w", err)
	}
	external.SetGroupVersionKind(kubecontrollermanagerv1alpha1.SchemeGroupVersion.WithKind("KubeControllerManagerConfiguration"))
	return external, nil
}

// None is whether --controllers selects no controller at all.
func (o *Options) None() bool {
	rows, err := o.selected()
	return err == nil && len(rows) == 0
}

// Validate says what is wrong with the options. It must have been called before
// they are used.
func (o *Options) Validate() error {
	if _, err := o.selected(); err != nil {
		return err
	}
	c := o.Config.CSRSigningController
	for _, files := range []signing.CSRSigningConfiguration{
		{CertFile: c.ClusterSigningCertFile, KeyFile: c.ClusterSigningKeyFile},
		c.KubeletServingSignerConfiguration, c.KubeletClientSignerConfiguration, c.KubeAPIServerClientSignerConfiguration, c.LegacyUnknownSignerConfiguration,
	} {
		if (files.CertFile == "") != (files.KeyFile == "") {
			return errors.New("the --cluster-signing-*-file flags of a signer's certificate and key go together")
		}
	}
	if c.ClusterSigningDuration.Duration <= 0 {
		return errors.New("--cluster-signing-duration must be more than 0")
	}
	for name, workers := range map[string]int32{
		"concurrent-namespace-syncs":                 o.Config.NamespaceController.ConcurrentNamespaceSyncs,
		"concurrent-gc-syncs":                        o.Config.GarbageCollectorController.ConcurrentGCSyncs,
		"concurrent-ttl-after-finished-syncs":        o.Config.TTLAfterFinishedController.ConcurrentTTLSyncs,
		"concurrent-horizontal-pod-autoscaler-syncs": o.Config.HPAController.ConcurrentHorizontalPodAutoscalerSyncs,
		"concurrent-ephemeralvolume-syncs":           o.Config.EphemeralVolumeController.ConcurrentEphemeralVolumeSyncs,
	} {
		if workers <= 0 {
			return fmt.Errorf("--%s must be more than 0", name)
		}
	}
	if o.Config.NodeLifecycleController.NodeMonitorPeriod.Duration <= 0 {
		return errors.New("--node-monitor-period must be more than 0")
	}
	if o.Config.HPAController.HorizontalPodAutoscalerSyncPeriod.Duration <= 0 {
		return errors.New("--horizontal-pod-autoscaler-sync-period must be more than 0")
	}
	if o.Config.PersistentVolumeBinderController.PVClaimBinderSyncPeriod.Duration <= 0 {
		return errors.New("--pvclaimbinder-sync-period must be more than 0")
	}
	return errors.Join(o.validateServices(), o.completeHousekeeping())
}
