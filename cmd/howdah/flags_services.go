package main

import (
	"github.com/spf13/pflag"
	"k8s.io/kubernetes/pkg/controller/apis/config"
)

// addServiceFlags adds the flags of the controllers of Services and quotas, by
// kube-controller-manager's names and defaults.
func addServiceFlags(flags *pflag.FlagSet, c *config.KubeControllerManagerConfiguration) {
	e, s, m := &c.EndpointController, &c.EndpointSliceController, &c.EndpointSliceMirroringController
	flags.Int32Var(&e.ConcurrentEndpointSyncs, "concurrent-endpoint-syncs", e.ConcurrentEndpointSyncs, "Endpoints that are worked on at the same time")
	flags.DurationVar(&e.EndpointUpdatesBatchPeriod.Duration, "endpoint-updates-batch-period", e.EndpointUpdatesBatchPeriod.Duration, "how long changes of pods are gathered before Endpoints follow")
	flags.Int32Var(&s.ConcurrentServiceEndpointSyncs, "concurrent-service-endpoint-syncs", s.ConcurrentServiceEndpointSyncs, "Services whose EndpointSlices are worked on at the same time")
	flags.Int32Var(&s.MaxEndpointsPerSlice, "max-endpoints-per-slice", s.MaxEndpointsPerSlice, "endpoints in an EndpointSlice at most, 1 to 1000")
	flags.DurationVar(&s.EndpointUpdatesBatchPeriod.Duration, "endpointslice-updates-batch-period", s.EndpointUpdatesBatchPeriod.Duration, "how long changes of pods are gathered before EndpointSlices follow")
	flags.Int32Var(&m.MirroringConcurrentServiceEndpointSyncs, "mirroring-concurrent-service-endpoint-syncs", m.MirroringConcurrentServiceEndpointSyncs, "Endpoints that are mirrored to EndpointSlices at the same time")
	flags.Int32Var(&m.MirroringMaxEndpointsPerSubset, "mirroring-max-endpoints-per-subset", m.MirroringMaxEndpointsPerSubset, "addresses of a subset of Endpoints that are mirrored at most, 1 to 1000")
	flags.DurationVar(&m.MirroringEndpointUpdatesBatchPeriod.Duration, "mirroring-endpointslice-updates-batch-period", m.MirroringEndpointUpdatesBatchPeriod.Duration, "how long changes of EndpointSlices are gathered before they are mirrored anew")
	q := &c.ResourceQuotaController
	flags.Int32Var(&q.ConcurrentResourceQuotaSyncs, "concurrent-resource-quota-syncs", q.ConcurrentResourceQuotaSyncs, "ResourceQuotas that are counted at the same time")
	flags.DurationVar(&q.ResourceQuotaSyncPeriod.Duration, "resource-quota-sync-period", q.ResourceQuotaSyncPeriod.Duration, "pause between counts of all ResourceQuotas; 0 for never")
}
