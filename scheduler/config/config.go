// Package config owns KubeSchedulerConfiguration files: upstream's types with
// their defaults and validation
// (https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/),
// and what they mean to Howdah's scheduler.
package config

import (
	"fmt"
	"os"

	componentbase "k8s.io/component-base/config/v1alpha1"
	configv1 "k8s.io/kube-scheduler/config/v1"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/validation"
)

// Default is the configuration without a file.
func Default() (*config.KubeSchedulerConfiguration, error) {
	versioned := configv1.KubeSchedulerConfiguration{}
	versioned.DebuggingConfiguration = *componentbase.NewRecommendedDebuggingConfiguration()
	scheme.Scheme.Default(&versioned)
	out := &config.KubeSchedulerConfiguration{}
	if err := scheme.Scheme.Convert(&versioned, out, nil); err != nil {
		return nil, fmt.Errorf("default the scheduler's configuration: %w", err)
	}
	out.APIVersion = configv1.SchemeGroupVersion.String()
	return out, nil
}

// Load reads a file, strictly: unknown fields are errors. Without a path it is
// [Default].
func Load(path string) (*config.KubeSchedulerConfiguration, error) {
	if path == "" {
		return Default()
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the scheduler's configuration: %w", err)
	}
	out, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

// Parse is [Load] for what is read already.
func Parse(data []byte) (*config.KubeSchedulerConfiguration, error) {
	object, kind, err := scheme.Codecs.UniversalDecoder().Decode(data, nil, nil)
	if err != nil {
		return nil, err
	}
	out, ok := object.(*config.KubeSchedulerConfiguration)
	if !ok {
		return nil, fmt.Errorf("it is a %s, not a KubeSchedulerConfiguration", kind)
	}
	out.APIVersion = kind.GroupVersion().String()
	if err := validation.ValidateKubeSchedulerConfiguration(out); err != nil {
		return nil, err
	}
	return out, nil
}

// External is the configuration as a file would have it and as /configz shows
// it, with all defaults.
func External(c *config.KubeSchedulerConfiguration) (*configv1.KubeSchedulerConfiguration, error) {
	out := &configv1.KubeSchedulerConfiguration{}
	if err := scheme.Scheme.Convert(c, out, nil); err != nil {
		return nil, fmt.Errorf("show the scheduler's configuration: %w", err)
	}
	out.SetGroupVersionKind(configv1.SchemeGroupVersion.WithKind("KubeSchedulerConfiguration"))
	return out, nil
}
