package autoscaling

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	resourceclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	custommetrics "k8s.io/metrics/pkg/client/custom_metrics"
	externalmetrics "k8s.io/metrics/pkg/client/external_metrics"
)

// defaultWindow is that of samples that don't say theirs.
const defaultWindow = time.Minute

// sources are the metrics APIs (https://github.com/kubernetes/metrics).
type sources struct {
	resources resourceclient.PodMetricsesGetter
	custom    custommetrics.CustomMetricsClient
	external  externalmetrics.ExternalMetricsClient
	versions  custommetrics.AvailableAPIsGetter
}

func newSources(config *rest.Config, mapper meta.RESTMapper, known discovery.DiscoveryInterface) (*sources, error) {
	config = rest.CopyConfig(config)
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON // which every adapter speaks
	resources, err := resourceclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for resource metrics: %w", err)
	}
	external, err := externalmetrics.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for external metrics: %w", err)
	}
	versions := custommetrics.NewAvailableAPIsGetter(known)
	return &sources{resources, custommetrics.NewForConfig(config, mapper, versions), external, versions}, nil
}

// resource is what pods, or one container of each, use of a resource.
func (s *sources) resource(ctx context.Context, namespace string, selector labels.Selector, of corev1.ResourceName, container string) (samples, error) {
	list, err := s.resources.PodMetricses(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, fmt.Errorf("unable to fetch metrics from resource metrics API: %w", err)
	}
	if len(list.Items) == 0 {
		return nil, errors.New("no metrics returned from resource metrics API")
	}
	out := make(samples, len(list.Items))
	for i := range list.Items {
		m := &list.Items[i]
		if value, ok := used(m, of, container); ok {
			out[m.Name] = sample{m.Timestamp.Time, m.Window.Duration, value}
		}
	}
	return out, nil
}

// used sums a pod's containers, all of which must be known.
func used(m *metricsv1beta1.PodMetrics, of corev1.ResourceName, container string) (total int64, ok bool) {
	for i := range m.Containers {
		c := &m.Containers[i]
		if container != "" && container != c.Name {
			continue
		}
		quantity, known := c.Usage[of]
		if !known {
			return 0, false
		}
		total, ok = total+quantity.MilliValue(), true
	}
	return total, ok
}

// pods is a metric of each pod.
func (s *sources) pods(namespace string, selector labels.Selector, metric string, metricSelector labels.Selector) (samples, error) {
	list, err := s.custom.NamespacedMetrics(namespace).GetForObjects(schema.GroupKind{Kind: "Pod"}, selector, metric, metricSelector)
	if err != nil {
		return nil, fmt.Errorf("unable to fetch metrics from custom metrics API: %w", err)
	}
	if len(list.Items) == 0 {
		return nil, errors.New("no metrics returned from custom metrics API")
	}
	out := make(samples, len(list.Items))
	for i := range list.Items {
		m := &list.Items[i]
		window := defaultWindow
		if m.WindowSeconds != nil {
			window = time.Duration(*m.WindowSeconds) * time.Second
		}
		out[m.DescribedObject.Name] = sample{m.Timestamp.Time, window, m.Value.MilliValue()}
	}
	return out, nil
}

// object is a metric of one object, in thousandths.
func (s *sources) object(namespace string, ref autoscalingv2.CrossVersionObjectReference, metric string, selector labels.Selector) (int64, error) {
	kind := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).GroupKind()
	get := s.custom.NamespacedMetrics(namespace).GetForObject
	name := ref.Name
	if kind == (schema.GroupKind{Kind: "Namespace"}) {
		get, name = s.custom.RootScopedMetrics().GetForObject, namespace
	}
	value, err := get(kind, name, metric, selector)
	if err != nil {
		return 0, fmt.Errorf("unable to fetch metrics from custom metrics API: %w", err)
	}
	return value.Value.MilliValue(), nil
}

// outside is the sum of an external metric's values, in thousandths.
func (s *sources) outside(namespace, metric string, selector labels.Selector) (int64, error) {
	list, err := s.external.NamespacedMetrics(namespace).List(metric, selector)
	if err != nil {
		return 0, fmt.Errorf("unable to fetch metrics from external metrics API: %w", err)
	}
	if len(list.Items) == 0 {
		return 0, errors.New("no metrics returned from external metrics API")
	}
	total := int64(0)
	for i := range list.Items {
		value := list.Items[i].Value.MilliValue()
		if value > 0 && total > math.MaxInt64-value {
			return math.MaxInt64, nil
		}
		total += value
	}
	return total, nil
}
