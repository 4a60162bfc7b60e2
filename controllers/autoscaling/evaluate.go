package autoscaling

import (
	"context"
	"errors"
	"fmt"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	pods "github.com/howdah/howdah/controllers/pod"
)

// A question is one metric of an autoscaler.
type question struct {
	*sources
	namespace string
	scale     *autoscalingv1.Scale
	selector  labels.Selector
	pods      []*corev1.Pod
	tolerance tolerance
	startup   Startup
	now       time.Time
}

// A proposal is what a metric says.
type proposal struct {
	replicas int32
	metric   string // in words
	status   autoscalingv2.MetricStatus
}

// errSpec marks errors of the autoscaler's specification.
var errSpec = errors.New("")

// evaluate asks a metric. On an error, reason is that of event and condition, and
// cause what they tell.
func (q *question) evaluate(ctx context.Context, spec *autoscalingv2.MetricSpec) (p *proposal, reason string, cause, err error) {
	switch spec.Type {
	case autoscalingv2.ObjectMetricSourceType:
		p, err = q.object(spec.Object)
		return p, "FailedGetObjectMetric", err, wrap("failed to get object metric value: %w", err)
	case autoscalingv2.PodsMetricSourceType:
		p, err = q.podsMetric(spec.Pods)
		return p, "FailedGetPodsMetric", err, wrap("failed to get pods metric value: %w", err)
	case autoscalingv2.ResourceMetricSourceType:
		p, err = q.resourceMetric(ctx, spec.Resource)
		return p, "FailedGetResourceMetric", err, wrap("failed to get "+string(spec.Resource.Name)+" resource metric value: %w", err)
	case autoscalingv2.ContainerResourceMetricSourceType:
		p, err = q.containerResourceMetric(ctx, spec.ContainerResource)
		return p, "FailedGetContainerResourceMetric", err, wrap("failed to get "+spec.ContainerResource.Container+" container metric value: %w", err)
	case autoscalingv2.ExternalMetricSourceType:
		p, err = q.externalMetric(spec.External)
		return p, "FailedGetExternalMetric", err, wrap("failed to get "+spec.External.Metric.Name+" external metric value: %w", err)
	}
	err = fmt.Errorf("unknown metric source type %q%w", string(spec.Type), errSpec)
	return nil, "InvalidMetricSourceType", err, err
}

func wrap(format string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format, err)
}

func (q *question) object(spec *autoscalingv2.ObjectMetricSource) (*proposal, error) {
	selector, err := metav1.LabelSelectorAsSelector(spec.Metric.Selector)
	if err != nil {
		return nil, err
	}
	get := func() (int64, error) {
		value, err := q.sources.object(q.namespace, spec.DescribedObject, spec.Metric.Name, selector)
		return value, wrap(fmt.Sprintf("unable to get metric %s on %s %s/%s: %%w", spec.Metric.Name, spec.DescribedObject.Kind, q.namespace, spec.DescribedObject.Name), err)
	}
	status := &autoscalingv2.ObjectMetricStatus{DescribedObject: spec.DescribedObject, Metric: spec.Metric}
	p := &proposal{status: autoscalingv2.MetricStatus{Type: autoscalingv2.ObjectMetricSourceType, Object: status}}
	switch target := spec.Target; {
	case target.Type == autoscalingv2.ValueMetricType && target.Value != nil:
		value, err := get()
		if err != nil {
			return nil, err
		}
		p.metric = spec.DescribedObject.Kind + " metric " + spec.Metric.Name
		status.Current.Value = resource.NewMilliQuantity(value, resource.DecimalSI)
		p.replicas, err = byRatio(q.scale.Spec.Replicas, float64(value)/float64(target.Value.MilliValue()), q.ready, q.tolerance)
		return p, err
	case target.Type == autoscalingv2.AverageValueMetricType && target.AverageValue != nil:
		value, err := get()
		if err != nil {
			return nil, fmt.Errorf("failed to get %s object metric: %w", spec.Metric.Name, err)
		}
		p.metric = fmt.Sprintf("external metric %s(%+v)", spec.Metric.Name, spec.Metric.Selector)
		replicas, average := byAverage(q.scale.Status.Replicas, value, target.AverageValue.MilliValue(), q.tolerance)
		p.replicas = replicas
		status.Current.AverageValue = resource.NewMilliQuantity(average, resource.DecimalSI)
		return p, nil
	}
	return nil, errors.New("invalid object metric source: neither a value target nor an average value target was set")
}

func (q *question) externalMetric(spec *autoscalingv2.ExternalMetricSource) (*proposal, error) {
	get := func() (int64, error) {
		selector, err := metav1.LabelSelectorAsSelector(spec.Metric.Selector)
		if err != nil {
			return 0, err
		}
		value, err := q.outside(q.namespace, spec.Metric.Name, selector)
		return value, wrap(fmt.Sprintf("unable to get external metric %s/%s/%+v: %%w", q.namespace, spec.Metric.Name, spec.Metric.Selector), err)
	}
	status := &autoscalingv2.ExternalMetricStatus{Metric: spec.Metric}
	p := &proposal{
		metric: fmt.Sprintf("external metric %s(%+v)", spec.Metric.Name, spec.Metric.Selector),
		status: autoscalingv2.MetricStatus{Type: autoscalingv2.ExternalMetricSourceType, External: status},
	}
	switch target := spec.Target; {
	case target.AverageValue != nil:
		value, err := get()
		if err != nil {
			return nil, fmt.Errorf("failed to get %s external metric: %w", spec.Metric.Name, err)
		}
		replicas, average := byAverage(q.scale.Status.Replicas, value, target.AverageValue.MilliValue(), q.tolerance)
		p.replicas = replicas
		status.Current.AverageValue = resource.NewMilliQuantity(average, resource.DecimalSI)
		return p, nil
	case target.Value != nil:
		value, err := get()
		if err != nil {
			return nil, fmt.Errorf("failed to get external metric %s: %w", spec.Metric.Name, err)
		}
		status.Current.Value = resource.NewMilliQuantity(value, resource.DecimalSI)
		p.replicas, err = byRatio(q.scale.Spec.Replicas, float64(value)/float64(target.Value.MilliValue()), q.ready, q.tolerance)
		return p, wrap("failed to get external metric "+spec.Metric.Name+": %w", err)
	}
	return nil, errors.New("invalid external metric source: neither a value target nor an average value target was set")
}

func (q *question) podsMetric(spec *autoscalingv2.PodsMetricSource) (*proposal, error) {
	selector, err := metav1.LabelSelectorAsSelector(spec.Metric.Selector)
	if err != nil {
		return nil, err
	}
	found, err := q.sources.pods(q.namespace, q.selector, spec.Metric.Name, selector)
	if err != nil {
		return nil, fmt.Errorf("unable to get metric %s: %w", spec.Metric.Name, err)
	}
	replicas, average, err := q.byTarget(found, "", spec.Target.AverageValue.MilliValue())
	if err != nil {
		return nil, err
	}
	return &proposal{replicas, "pods metric " + spec.Metric.Name, autoscalingv2.MetricStatus{
		Type: autoscalingv2.PodsMetricSourceType,
		Pods: &autoscalingv2.PodsMetricStatus{Metric: spec.Metric, Current: autoscalingv2.MetricValueStatus{AverageValue: resource.NewMilliQuantity(average, resource.DecimalSI)}},
	}}, nil
}

func (q *question) resourceMetric(ctx context.Context, spec *autoscalingv2.ResourceMetricSource) (*proposal, error) {
	p, current, err := q.byResource(ctx, spec.Name, "", spec.Target)
	if err != nil {
		return nil, err
	}
	p.status = autoscalingv2.MetricStatus{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricStatus{Name: spec.Name, Current: *current}}
	return p, nil
}

func (q *question) containerResourceMetric(ctx context.Context, spec *autoscalingv2.ContainerResourceMetricSource) (*proposal, error) {
	p, current, err := q.byResource(ctx, spec.Name, spec.Container, spec.Target)
	if err != nil {
		return nil, err
	}
	p.status = autoscalingv2.MetricStatus{Type: autoscalingv2.ContainerResourceMetricSourceType, ContainerResource: &autoscalingv2.ContainerResourceMetricStatus{Name: spec.Name, Container: spec.Container, Current: *current}}
	return p, nil
}

func (q *question) byResource(ctx context.Context, of corev1.ResourceName, container string, target autoscalingv2.MetricTarget) (*proposal, *autoscalingv2.MetricValueStatus, error) {
	format := resource.DecimalSI
	if of == corev1.ResourceMemory {
		format = resource.BinarySI
	}
	get := func() (samples, error) {
		found, err := q.resource(ctx, q.namespace, q.selector, of, container)
		return found, wrap("unable to get metrics for resource "+string(of)+": %w", err)
	}
	switch {
	case target.AverageValue != nil:
		found, err := get()
		if err != nil {
			return nil, nil, fmt.Errorf("failed to get %s usage: %w", of, err)
		}
		replicas, average, err := q.byTarget(found, of, target.AverageValue.MilliValue())
		if err != nil {
			return nil, nil, fmt.Errorf("failed to get %s usage: %w", of, err)
		}
		return &proposal{replicas: replicas, metric: string(of) + " resource"}, &autoscalingv2.MetricValueStatus{AverageValue: resource.NewMilliQuantity(average, format)}, nil
	case target.AverageUtilization != nil:
		found, err := get()
		if err != nil {
			return nil, nil, fmt.Errorf("failed to get %s utilization: %w", of, err)
		}
		replicas, percent, average, err := q.byUtilization(found, of, container, *target.AverageUtilization)
		if err != nil {
			return nil, nil, fmt.Errorf("failed to get %s utilization: %w", of, err)
		}
		metric := string(of) + " resource utilization (percentage of request)"
		if container != "" {
			metric = string(of) + " container resource utilization (percentage of request)"
		}
		return &proposal{replicas: replicas, metric: metric}, &autoscalingv2.MetricValueStatus{AverageUtilization: &percent, AverageValue: resource.NewMilliQuantity(average, format)}, nil
	}
	return nil, nil, errors.New("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set")
}

// byTarget is for metrics of which pods are to have so much on average.
func (q *question) byTarget(found samples, of corev1.ResourceName, target int64) (replicas int32, average int64, err error) {
	g, err := q.count(found, of)
	if err != nil {
		return 0, 0, err
	}
	ratio := func(s samples) (float64, error) {
		return float64(s.sum()/int64(len(s))) / float64(target), nil
	}
	average = found.sum() / int64(len(found))
	replicas, err = byPods(q.scale.Spec.Replicas, found, g, ratio, func(string) int64 { return target }, q.tolerance)
	return replicas, average, err
}

// byUtilization is for resources of which pods are to use so many percent of what
// they request.
func (q *question) byUtilization(found samples, of corev1.ResourceName, container string, target int32) (replicas, percent int32, average int64, err error) {
	g, err := q.count(found, of)
	if err != nil {
		return 0, 0, 0, err
	}
	requested, err := requests(q.pods, container, of)
	if err != nil {
		return 0, 0, 0, err
	}
	_, percent, average, err = utilization(found, requested, target)
	if err != nil {
		return 0, 0, 0, err
	}
	ratio := func(s samples) (float64, error) {
		ratio, _, _, err := utilization(s, requested, target)
		return ratio, err
	}
	full := func(pod string) int64 { return requested[pod] * int64(max(100, target)) / 100 }
	replicas, err = byPods(q.scale.Spec.Replicas, found, g, ratio, full, q.tolerance)
	return replicas, percent, average, err
}

func (q *question) count(found samples, of corev1.ResourceName) (groups, error) {
	if len(q.pods) == 0 {
		return groups{}, errNoPods
	}
	g := group(q.pods, found, of, q.startup, q.now)
	if len(found) == 0 {
		return g, errors.New("did not receive metrics for targeted pods (pods might be unready)")
	}
	return g, nil
}

var errNoPods = errors.New("no pods returned by selector while calculating replica count")

// ready counts the pods that serve.
func (q *question) ready() (n int, err error) {
	if len(q.pods) == 0 {
		return 0, fmt.Errorf("unable to calculate ready pods: %w", errNoPods)
	}
	for _, pod := range q.pods {
		if pod.Status.Phase == corev1.PodRunning && pods.Ready(pod) {
			n++
		}
	}
	return n, nil
}
