package main

import (
	"errors"
	"slices"

	"github.com/spf13/pflag"
	"k8s.io/kubernetes/pkg/kubeapiserver/options"

	"github.com/howdah/howdah/server/admission"
)

// admissionFlags choose and configure the admission plugins. They are upstream's
// own, texts and all.
type admissionFlags struct {
	upstream          *options.AdmissionOptions
	aggregatorRouting bool
}

func (f *admissionFlags) add(flags *pflag.FlagSet) {
	f.upstream = options.NewAdmissionOptions()
	f.upstream.AddFlags(flags)
	flags.BoolVar(&f.aggregatorRouting, "enable-aggregator-routing", false, "call webhooks that are Services at one of their endpoints rather than at the cluster IP")
}

func (f *admissionFlags) options() (admission.Options, error) {
	if err := errors.Join(f.upstream.Validate()...); err != nil {
		return admission.Options{}, err
	}
	generic := f.upstream.GenericAdmission
	chosen := admission.Options{
		Enable: generic.EnablePlugins, Disable: generic.DisablePlugins,
		ConfigFile: generic.ConfigFile, AggregatorRouting: f.aggregatorRouting,
	}
	if only := f.upstream.PluginNames; only != nil { // the deprecated --admission-control
		chosen.Enable = only
		chosen.Disable = slices.DeleteFunc(slices.Clone(options.AllOrderedPlugins), func(name string) bool { return slices.Contains(only, name) })
	}
	return chosen, nil
}
