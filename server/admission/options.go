package admission

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle"
	mutatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	validatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	validatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	"k8s.io/apiserver/pkg/apis/apiserver"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	apiserverv1alpha1 "k8s.io/apiserver/pkg/apis/apiserver/v1alpha1"
	kubeapiserveroptions "k8s.io/kubernetes/pkg/kubeapiserver/options"
)

// Options choose the plugins. The zero value is kube-apiserver's default.
type Options struct {
	// Enable and Disable are plugins that run beside those of the default list,
	// or don't though they are in it: --enable-admission-plugins and
	// --disable-admission-plugins.
	Enable, Disable []string
	// ConfigFile is an AdmissionConfiguration for the plugins that take one
	// (https://kubernetes.io/docs/reference/config-api/apiserver-config.v1/).
	ConfigFile string
	// AggregatorRouting calls webhooks that are Services at one of their
	// endpoints, not at the cluster IP: --enable-aggregator-routing.
	AggregatorRouting bool
}

// names are the plugins that run, in upstream's order.
func (o Options) names() []string {
	off := kubeapiserveroptions.DefaultOffAdmissionPlugins()
	off.Insert(o.Disable...).Delete(o.Enable...)
	return slices.DeleteFunc(slices.Clone(kubeapiserveroptions.AllOrderedPlugins), off.Has)
}

// plugins are all that there are. It is an error when the options name others,
// or contradict themselves; the texts are kube-apiserver's.
func (o Options) plugins() (*admission.Plugins, error) {
	all := admission.NewPlugins()
	kubeapiserveroptions.RegisterAllAdmissionPlugins(all)
	for _, register := range []func(*admission.Plugins){
		lifecycle.Register, mutatingpolicy.Register, mutatingwebhook.Register, validatingpolicy.Register, validatingwebhook.Register,
	} {
		register(all)
	}
	var errs []error
	known := sets.New(all.Registered()...)
	unknown := func(flag string, names []string) {
		for _, name := range names {
			if !known.Has(name) {
				errs = append(errs, fmt.Errorf("%s plugin %q is unknown", flag, name))
			}
		}
	}
	unknown("enable-admission-plugins", o.Enable)
	unknown("disable-admission-plugins", o.Disable)
	if both := sets.New(o.Enable...).Intersection(sets.New(o.Disable...)); both.Len() > 0 {
		errs = append(errs, fmt.Errorf("%v in enable-admission-plugins and disable-admission-plugins overlapped", sets.List(both)))
	}
	return all, errors.Join(errs...)
}

// configuration reads the file that configures plugins.
func (o Options) configuration(names []string) (admission.ConfigProvider, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{apiserver.AddToScheme, apiserverv1alpha1.AddToScheme, apiserverv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	configuration, err := admission.ReadAdmissionConfiguration(names, o.ConfigFile, scheme)
	if err != nil {
		return nil, fmt.Errorf("failed to read plugin config: %w", err)
	}
	return configuration, nil
}
