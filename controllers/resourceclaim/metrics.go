package resourceclaim

import (
	"strconv"
	"sync"
	"sync/atomic"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/labels"
	resourcelisters "k8s.io/client-go/listers/resource/v1"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	claimmetrics "k8s.io/dynamic-resource-allocation/resourceclaim/metrics"
	"k8s.io/utils/ptr"
)

// created counts claims made for pods, or not.
func created(ok bool, template *resourceapi.ResourceClaimTemplate) {
	status := "failure"
	if ok {
		status = "success"
	}
	claimmetrics.ResourceClaimCreate.WithLabelValues(status, admin(&template.Spec.Spec), "", "Pod").Inc()
}

// admin tells whether a claim asks for an administrator's access.
func admin(spec *resourceapi.ResourceClaimSpec) string {
	for i := range spec.Devices.Requests {
		if exactly := spec.Devices.Requests[i].Exactly; exactly != nil && ptr.Deref(exactly.AdminAccess, false) {
			return "true"
		}
	}
	return "false"
}

var number = metrics.NewDesc("dynamic_resource_allocation_resource_claims",
	"Number of ResourceClaims, categorized by allocation status, admin access, and source. Source can be 'resource_claim_template' (created from a template), 'extended_resource' (extended resources), or empty (manually created by a user).",
	[]string{"allocated", "admin_access", "source"}, nil, metrics.ALPHA, "")

// counter counts the claims that there are, while the controller lives.
type counter struct {
	metrics.BaseStableCollector
	claims atomic.Pointer[resourcelisters.ResourceClaimLister]
}

var claims counter

var register = sync.OnceFunc(func() {
	claimmetrics.RegisterMetrics()
	legacyregistry.CustomMustRegister(&claims)
})

// measure counts the lister's claims until the function it returns is called.
func measure(lister resourcelisters.ResourceClaimLister) func() {
	register()
	claims.claims.Store(&lister)
	return func() { claims.claims.CompareAndSwap(&lister, nil) }
}

// DescribeWithStability implements [metrics.StableCollector].
func (c *counter) DescribeWithStability(descs chan<- *metrics.Desc) { descs <- number }

// CollectWithStability implements [metrics.StableCollector].
func (c *counter) CollectWithStability(out chan<- metrics.Metric) {
	lister := c.claims.Load()
	if lister == nil {
		return
	}
	all, err := (*lister).List(labels.Everything())
	if err != nil {
		return // an informer's never fails
	}
	counts := map[[3]string]int{}
	for _, claim := range all {
		counts[[3]string{strconv.FormatBool(claim.Status.Allocation != nil), admin(&claim.Spec), source(claim)}]++
	}
	for values, n := range counts {
		out <- metrics.NewLazyConstMetric(number, metrics.GaugeValue, float64(n), values[:]...)
	}
}

func source(claim *resourceapi.ResourceClaim) string {
	switch {
	case claim.Annotations[resourceapi.ExtendedResourceClaimAnnotation] == "true":
		return "extended_resource"
	case claim.Annotations[resourceapi.PodResourceClaimAnnotation] != "":
		return "resource_claim_template"
	}
	return ""
}
