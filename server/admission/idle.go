package admission

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	mutatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	validatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	validatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/validating"

	"github.com/howdah/howdah/server/objects"
)

// rules are the objects without which a plugin has nothing to do. Upstream's
// plugins start work before they find that out: they copy the object, or pass it
// to a queue.
var rules = map[string]schema.GroupResource{
	mutatingpolicy.PluginName:    {Group: "admissionregistration.k8s.io", Resource: "mutatingadmissionpolicybindings"},
	validatingpolicy.PluginName:  {Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicybindings"},
	mutatingwebhook.PluginName:   {Group: "admissionregistration.k8s.io", Resource: "mutatingwebhookconfigurations"},
	validatingwebhook.PluginName: {Group: "admissionregistration.k8s.io", Resource: "validatingwebhookconfigurations"},
	resourcequota.PluginName:     {Resource: "resourcequotas"},
}

// idling leaves out plugins of [rules] that have none. Those with a
// configuration, which can be rules of its own, are never left out.
type idling struct {
	getter        *objects.Getter
	configuration admission.ConfigProvider
}

func (d idling) decorate(plugin admission.Interface, name string) admission.Interface {
	resource, ok := rules[name]
	if !ok {
		return plugin
	}
	store := d.getter.Store(resource)
	configuration, err := d.configuration.ConfigFor(name)
	if store == nil || configuration != nil || err != nil {
		return plugin
	}
	i := &idle{Interface: plugin, store: store, namespaced: name == resourcequota.PluginName}
	i.mutates, _ = plugin.(admission.MutationInterface)
	i.validates, _ = plugin.(admission.ValidationInterface)
	return i
}

// idle asks a plugin only if there are rules for it.
type idle struct {
	admission.Interface
	mutates    admission.MutationInterface
	validates  admission.ValidationInterface
	store      *objects.Store
	namespaced bool // the rules of a namespace are for that namespace
}

// Admit implements [admission.MutationInterface].
func (i *idle) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if i.mutates == nil || i.ruleless(a) {
		return nil
	}
	return i.mutates.Admit(ctx, a, o)
}

// Validate implements [admission.ValidationInterface].
func (i *idle) Validate(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if i.validates == nil || i.ruleless(a) {
		return nil
	}
	return i.validates.Validate(ctx, a, o)
}

func (i *idle) ruleless(a admission.Attributes) bool {
	prefix := i.store.Prefix()
	if i.namespaced {
		if a.GetNamespace() == "" {
			return true
		}
		prefix += a.GetNamespace() + "/"
	}
	return !i.store.Collection().Any(prefix)
}
