package server

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/util/webhook"
	corelisters "k8s.io/client-go/listers/core/v1"
	restclient "k8s.io/client-go/rest"

	"github.com/howdah/howdah/server/admission"
	"github.com/howdah/howdah/server/aggregation"
	"github.com/howdah/howdah/server/custom"
	"github.com/howdah/howdah/server/listers"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
)

// newCustom prepares for custom resources.
func newCustom(s *Server, table *resource.Table, getter *objects.Getter, self *restclient.Config) (*custom.Resources, error) {
	services, err := admission.NewServiceResolver(getter, s.options.Admission.AggregatorRouting)
	if err != nil {
		return nil, err
	}
	resources, err := custom.New(custom.Config{
		Table: table, Store: s.store, Objects: getter, Loopback: self,
		Services: services, Credentials: admission.WebhookClients(self), Logger: s.log,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare for custom resources: %w", err)
	}
	return resources, nil
}

// newAggregation prepares for other API servers behind this one.
func newAggregation(s *Server, table *resource.Table, getter *objects.Getter, self *restclient.Config) (*aggregation.Services, error) {
	endpoints, err := newAggregatedEndpoints(getter)
	if err != nil {
		return nil, err
	}
	others, err := aggregation.New(aggregation.Config{
		Table: table, Objects: getter, Loopback: self, Endpoints: endpoints, Logger: s.log,
		Certificate: func() (*tls.Certificate, error) { return s.tls.ProxyCertificate() },
	})
	if err != nil {
		return nil, fmt.Errorf("prepare for aggregated API servers: %w", err)
	}
	return others, nil
}

// aggregatedEndpoints finds the Services of APIServices: at one of their
// endpoints, or by their name where that is elsewhere.
type aggregatedEndpoints struct {
	services             corelisters.ServiceLister
	endpoints, addresses webhook.ServiceResolver
}

func newAggregatedEndpoints(getter *objects.Getter) (webhook.ServiceResolver, error) {
	endpoints, err := admission.NewServiceResolver(getter, true)
	if err != nil {
		return nil, err
	}
	addresses, err := admission.NewServiceResolver(getter, false)
	if err != nil {
		return nil, err
	}
	services := listers.Services(getter.Store(schema.GroupResource{Resource: "services"}))
	return aggregatedEndpoints{services, endpoints, addresses}, nil
}

// ResolveEndpoint implements [webhook.ServiceResolver].
func (a aggregatedEndpoints) ResolveEndpoint(namespace, name string, port int32) (*url.URL, error) {
	service, err := a.services.Services(namespace).Get(name)
	if err == nil && service.Spec.Type == corev1.ServiceTypeExternalName {
		return a.addresses.ResolveEndpoint(namespace, name, port)
	}
	return a.endpoints.ResolveEndpoint(namespace, name, port)
}

// AggregationOptions are how this server proves to others that it is the front
// proxy that they trust, under the names of kube-apiserver's flags.
type AggregationOptions struct {
	ProxyClientCertFile string // PEM; with ProxyClientKeyFile
	ProxyClientKeyFile  string
}

// ownProxyName is what kubeadm calls the API server as a front proxy.
const ownProxyName = "front-proxy-client"

// completeFrontProxy sets what kubeadm's clusters have where nothing is said of
// front proxies: this server is one, by an authority of its own that it believes
// itself, and API servers behind it learn of it.
func (o *Options) completeFrontProxy() {
	proxy := &o.Authentication.FrontProxy
	if proxy.ClientCAFile != "" || o.Aggregation.ProxyClientCertFile != "" {
		return
	}
	o.ownFrontProxy = true
	include(&proxy.AllowedNames, ownProxyName)
	include(&proxy.UsernameHeaders, "X-Remote-User")
	include(&proxy.UIDHeaders, "X-Remote-Uid")
	include(&proxy.GroupHeaders, "X-Remote-Group")
	include(&proxy.ExtraPrefixes, "X-Remote-Extra-")
}

func include(values *[]string, wanted string) {
	if !slices.ContainsFunc(*values, func(v string) bool { return strings.EqualFold(v, wanted) }) {
		*values = append(*values, wanted)
	}
}
