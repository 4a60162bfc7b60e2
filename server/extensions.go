package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"os"

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
	certificate, err := s.options.Aggregation.certificate()
	if err != nil {
		return nil, err
	}
	endpoints, err := newAggregatedEndpoints(getter)
	if err != nil {
		return nil, err
	}
	others, err := aggregation.New(aggregation.Config{
		Table: table, Objects: getter, Loopback: self, Endpoints: endpoints, Certificate: certificate, Logger: s.log,
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

// certificate returns what reads the files; nil without them.
func (o AggregationOptions) certificate() (func() (cert, key []byte), error) {
	if (o.ProxyClientCertFile == "") != (o.ProxyClientKeyFile == "") {
		return nil, errors.New("--proxy-client-cert-file and --proxy-client-key-file go together")
	}
	if o.ProxyClientCertFile == "" {
		return nil, nil
	}
	if _, err := tls.LoadX509KeyPair(o.ProxyClientCertFile, o.ProxyClientKeyFile); err != nil {
		return nil, fmt.Errorf("read --proxy-client-cert-file and --proxy-client-key-file: %w", err)
	}
	return func() (cert, key []byte) {
		// Files that can't be read any more give no certificate, which the other server tells of.
		cert, _ = os.ReadFile(o.ProxyClientCertFile)
		key, _ = os.ReadFile(o.ProxyClientKeyFile)
		return cert, key
	}, nil
}
