package controllers

import (
	"fmt"

	"k8s.io/kubernetes/cmd/kube-controller-manager/names"

	"github.com/howdah/howdah/controllers/endpoints"
	"github.com/howdah/howdah/controllers/loadbalancer"
)

// services are the controllers of Services and what is behind them.
func services(o *Options) []row {
	c := &o.Config
	return []row{
		{
			name: names.EndpointsController, aliases: []string{"endpoint"},
			account: "endpoint-controller",
			setup: endpoints.Endpoints(endpoints.EndpointsOptions{
				Workers: int(c.EndpointController.ConcurrentEndpointSyncs), Batch: c.EndpointController.EndpointUpdatesBatchPeriod.Duration,
			}),
		}, {
			name: names.EndpointSliceController, aliases: []string{"endpointslice"},
			account: "endpointslice-controller",
			setup: endpoints.Slices(endpoints.SlicesOptions{
				Workers:  int(c.EndpointSliceController.ConcurrentServiceEndpointSyncs),
				PerSlice: c.EndpointSliceController.MaxEndpointsPerSlice, Batch: c.EndpointSliceController.EndpointUpdatesBatchPeriod.Duration,
			}),
		}, {
			name: names.EndpointSliceMirroringController, aliases: []string{"endpointslicemirroring"},
			account: "endpointslicemirroring-controller",
			setup: endpoints.Mirror(endpoints.MirrorOptions{
				Workers:   int(c.EndpointSliceMirroringController.MirroringConcurrentServiceEndpointSyncs),
				PerSubset: c.EndpointSliceMirroringController.MirroringMaxEndpointsPerSubset, Batch: c.EndpointSliceMirroringController.MirroringEndpointUpdatesBatchPeriod.Duration,
			}),
		}, {
			name: loadbalancer.Name, aliases: []string{"service"},
			account: "service-controller",
			setup:   loadbalancer.Setup(o.LoadBalancerPool),
		},
	}
}

// validateServices says what is wrong with the options of [services].
func (o *Options) validateServices() error {
	c := &o.Config
	for name, workers := range map[string]int32{
		"concurrent-endpoint-syncs":                   c.EndpointController.ConcurrentEndpointSyncs,
		"concurrent-service-endpoint-syncs":           c.EndpointSliceController.ConcurrentServiceEndpointSyncs,
		"concurrent-resource-quota-syncs":             c.ResourceQuotaController.ConcurrentResourceQuotaSyncs,
		"mirroring-concurrent-service-endpoint-syncs": c.EndpointSliceMirroringController.MirroringConcurrentServiceEndpointSyncs,
	} {
		if workers <= 0 {
			return fmt.Errorf("--%s must be more than 0", name)
		}
	}
	for name, most := range map[string]int32{
		"max-endpoints-per-slice":            c.EndpointSliceController.MaxEndpointsPerSlice,
		"mirroring-max-endpoints-per-subset": c.EndpointSliceMirroringController.MirroringMaxEndpointsPerSubset,
	} {
		if most < 1 || most > 1000 {
			return fmt.Errorf("--%s must be from 1 to 1000", name)
		}
	}
	return nil
}
