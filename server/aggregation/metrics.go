package aggregation

import (
	"github.com/prometheus/client_golang/prometheus"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"
)

var unavailable = prometheus.NewDesc("aggregator_unavailable_apiservice",
	"[ALPHA] Gauge of APIServices which are marked as unavailable broken down by APIService name.", []string{"name"}, nil)

func newOutages() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "aggregator_unavailable_apiservice_total",
		Help: "[ALPHA] Counter of APIServices which are marked as unavailable broken down by APIService name and reason.",
	}, []string{"name", "reason"})
}

// Collectors are the metrics of the APIServices.
func (s *Services) Collectors() []prometheus.Collector {
	return []prometheus.Collector{(*availability)(s), s.outages}
}

// availability tells of each APIService whether it is unavailable.
type availability Services

func (*availability) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- unavailable }

func (a *availability) Collect(metrics chan<- prometheus.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, service := range a.known {
		value := 1.0
		if helper.IsAPIServiceConditionTrue(service, apiregistrationv1.Available) {
			value = 0
		}
		metrics <- prometheus.MustNewConstMetric(unavailable, prometheus.GaugeValue, value, service.Name)
	}
}
