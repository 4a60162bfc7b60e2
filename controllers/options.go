package controllers

import (
	"fmt"

	kubecontrollermanagerv1alpha1 "k8s.io/kube-controller-manager/config/v1alpha1"
	"k8s.io/kubernetes/pkg/controller/apis/config"
	"k8s.io/kubernetes/pkg/controller/apis/config/scheme"
	garbagecollector "k8s.io/kubernetes/pkg/controller/garbagecollector/config"
)

// Options say what the controllers do.
type Options struct {
	// Config is kube-controller-manager's configuration; what a flag changes
	// there is changed here. Fields that no flag of ours sets have no effect.
	Config config.KubeControllerManagerConfiguration
	// RootCA is what pods trust the API server by, in PEM. It is published to
	// every namespace.
	RootCA []byte
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

// Validate says what is wrong with the options.
func (o *Options) Validate() error {
	_, err := o.selected()
	return err
}
