package nodeipam

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

const subsystem = "node_ipam_controller"

var (
	allocations = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: subsystem, Name: "cidrset_cidrs_allocations_total", Help: "Counter measuring total number of CIDR allocations.", StabilityLevel: metrics.ALPHA,
	}, []string{"clusterCIDR"})
	releases = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: subsystem, Name: "cidrset_cidrs_releases_total", Help: "Counter measuring total number of CIDR releases.", StabilityLevel: metrics.ALPHA,
	}, []string{"clusterCIDR"})
	maxCIDRs = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Subsystem: subsystem, Name: "cirdset_max_cidrs", Help: "Maximum number of CIDRs that can be allocated.", StabilityLevel: metrics.ALPHA, // upstream's name
	}, []string{"clusterCIDR"})
	usage = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Subsystem: subsystem, Name: "cidrset_usage_cidrs", Help: "Gauge measuring percentage of allocated CIDRs.", StabilityLevel: metrics.ALPHA,
	}, []string{"clusterCIDR"})

	register = sync.OnceFunc(func() { legacyregistry.MustRegister(allocations, releases, maxCIDRs, usage) })
)
