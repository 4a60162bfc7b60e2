package admission

import (
	"errors"
	"net/url"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/apiserver/pkg/util/webhook"
	corelisters "k8s.io/client-go/listers/core/v1"

	"github.com/howdah/howdah/server/listers"
	"github.com/howdah/howdah/server/objects"
)

// A serviceResolver finds where a webhook's Service is reached.
type serviceResolver struct {
	services corelisters.ServiceLister
	slices   proxy.EndpointSliceGetter // nil: at the cluster IP
}

// NewServiceResolver returns what finds Services: at one of their endpoints or
// at the cluster IP.
func NewServiceResolver(getter *objects.Getter, endpoints bool) (webhook.ServiceResolver, error) {
	services := getter.Store(schema.GroupResource{Resource: "services"})
	slices := getter.Store(schema.GroupResource{Group: "discovery.k8s.io", Resource: "endpointslices"})
	if services == nil || slices == nil {
		return nil, errors.New("webhooks need services and endpointslices to be served")
	}
	r := serviceResolver{services: listers.Services(services)}
	if endpoints {
		var err error
		if r.slices, err = proxy.NewEndpointSliceListerGetter(listers.EndpointSlices(slices)); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// ResolveEndpoint implements [webhook.ServiceResolver].
func (r serviceResolver) ResolveEndpoint(namespace, name string, port int32) (*url.URL, error) {
	if r.slices != nil {
		return proxy.ResolveEndpoint(r.services, r.slices, namespace, name, port)
	}
	return proxy.ResolveCluster(r.services, namespace, name, port)
}
