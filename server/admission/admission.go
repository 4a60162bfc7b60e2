// Package admission owns the chain of upstream's admission plugins that every
// change passes (https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/).
package admission

import (
	"fmt"
	"slices"

	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	utilcompatibility "k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	kubeapiserveroptions "k8s.io/kubernetes/pkg/kubeapiserver/options"
	"k8s.io/kubernetes/plugin/pkg/admission/defaulttolerationseconds"
	"k8s.io/kubernetes/plugin/pkg/admission/limitranger"
	"k8s.io/kubernetes/plugin/pkg/admission/network/defaultingressclass"
	"k8s.io/kubernetes/plugin/pkg/admission/nodetaint"
	"k8s.io/kubernetes/plugin/pkg/admission/podtopologylabels"
	podpriority "k8s.io/kubernetes/plugin/pkg/admission/priority"
	"k8s.io/kubernetes/plugin/pkg/admission/runtimeclass"
	"k8s.io/kubernetes/plugin/pkg/admission/storage/persistentvolume/resize"
	"k8s.io/kubernetes/plugin/pkg/admission/storage/storageclass/setdefault"
)

// on are the plugins that run: those of upstream's default list that need
// nothing but the API. The others come with what they need, see docs/status.md.
var on = []string{
	lifecycle.PluginName,
	limitranger.PluginName,
	nodetaint.PluginName,
	podpriority.PluginName,
	defaulttolerationseconds.PluginName,
	setdefault.PluginName,
	resize.PluginName,
	runtimeclass.PluginName,
	defaultingressclass.PluginName,
	podtopologylabels.PluginName,
}

// New returns the chain, in upstream's order. It asks informers for what the
// plugins watch; the caller starts them. Plugins run until stop is closed.
func New(client kubernetes.Interface, shared informers.SharedInformerFactory, authorize authorizer.Authorizer, stop <-chan struct{}) (admission.Interface, error) {
	plugins := admission.NewPlugins()
	kubeapiserveroptions.RegisterAllAdmissionPlugins(plugins)
	lifecycle.Register(plugins)
	var names []string
	for _, name := range kubeapiserveroptions.AllOrderedPlugins {
		if slices.Contains(on, name) {
			names = append(names, name)
		}
	}
	none, err := admission.ReadAdmissionConfiguration(names, "", nil)
	if err != nil {
		return nil, fmt.Errorf("read the admission configuration: %w", err)
	}
	initialize := initializer.New(client, nil, shared, authorize, utilfeature.DefaultFeatureGate,
		utilcompatibility.DefaultBuildEffectiveVersion(), stop, nil)
	chain, err := plugins.NewFromPlugins(names, none, initialize, nil)
	if err != nil {
		return nil, fmt.Errorf("make the admission plugins: %w", err)
	}
	return chain, nil
}
