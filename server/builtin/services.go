package builtin

import (
	"context"
	"fmt"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	api "k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/registry/core/service/allocator"
	"k8s.io/kubernetes/pkg/registry/core/service/ipallocator"
	"k8s.io/kubernetes/pkg/registry/core/service/portallocator"
	netutils "k8s.io/utils/net"
)

// serviceAllocators give services their addresses and node ports.
type serviceAllocators struct {
	family      api.IPFamily // the default one
	addresses   map[api.IPFamily]ipallocator.Interface
	ports       *portallocator.PortAllocator
	storedPorts *storedRange
}

func newServiceAllocators(c Config, client kubernetes.Interface) (serviceAllocators, error) {
	s := serviceAllocators{addresses: map[api.IPFamily]ipallocator.Interface{}}
	for _, cidr := range c.ServiceCIDRs {
		networking := c.Informers.Networking().V1()
		addresses, err := ipallocator.NewMetaAllocator(client.NetworkingV1(),
			networking.ServiceCIDRs(), networking.IPAddresses(), netutils.IsIPv6CIDR(&cidr), nil)
		if err != nil {
			return s, fmt.Errorf("allocator of service addresses in %s: %w", &cidr, err)
		}
		addresses.EnableMetrics()
		if s.family == "" {
			s.family = addresses.IPFamily()
		}
		s.addresses[addresses.IPFamily()] = addresses
	}

	store, err := nodePortRange.open(c.Getter)
	if err != nil {
		return s, err
	}
	ports, err := portallocator.New(c.NodePorts, func(size int, spec string, offset int) (allocator.Interface, error) {
		s.storedPorts = &storedRange{
			store:    store,
			key:      nodePortRange.prefix + "/servicenodeports",
			resource: nodePortRange.resource,
			bits:     allocator.NewAllocationMapWithOffset(size, spec, offset),
		}
		return s.storedPorts, nil
	})
	if err != nil {
		return s, fmt.Errorf("allocator of node ports: %w", err)
	}
	ports.EnableMetrics()
	s.ports = ports
	return s, nil
}

func (s serviceAllocators) stop() {
	for _, addresses := range s.addresses {
		addresses.Destroy()
	}
	if s.ports != nil {
		s.ports.Destroy()
	}
}

// endpointSlices finds where the proxy subresource of a service leads. It asks
// the API instead of an informer, which would keep the endpoints of the whole
// cluster decoded in memory for this rare question.
type endpointSlices struct {
	client kubernetes.Interface
}

const endpointSlicesTimeout = 10 * time.Second

func (e endpointSlices) GetEndpointSlices(namespace, service string) ([]*discoveryv1.EndpointSlice, error) {
	ctx, cancel := context.WithTimeout(context.Background(), endpointSlicesTimeout)
	defer cancel()
	list, err := e.client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{
		ResourceVersion: "0",
		LabelSelector:   labels.Set{discoveryv1.LabelServiceName: service}.String(),
	})
	if err != nil {
		return nil, fmt.Errorf("list the endpoints of service %s/%s: %w", namespace, service, err)
	}
	slices := make([]*discoveryv1.EndpointSlice, len(list.Items))
	for i := range list.Items {
		slices[i] = &list.Items[i]
	}
	return slices, nil
}
