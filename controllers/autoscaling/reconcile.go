package autoscaling

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
)

// A look is one look at an autoscaler.
type look struct {
	*controller
	hpa     *autoscalingv2.HorizontalPodAutoscaler // a copy, whose status is filled in
	before  *autoscalingv2.HorizontalPodAutoscalerStatus
	history *history
	target  string // in words
	scale   *autoscalingv1.Scale
	of      schema.GroupResource
	now     time.Time
}

// reconcile looks at an autoscaler once. What is wrong stands in its conditions
// and events before it is returned.
func (x *controller) reconcile(ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler) error {
	l := &look{
		controller: x, hpa: hpa, before: hpa.Status.DeepCopy(), history: x.history(cache.MetaObjectToName(hpa)), now: x.clock.Now(),
		target: fmt.Sprintf("%s/%s/%s", hpa.Spec.ScaleTargetRef.Kind, hpa.Namespace, hpa.Spec.ScaleTargetRef.Name),
	}
	did, err := l.run(ctx)
	err = errors.Join(err, l.write(ctx))
	observeReconciliation(did, err, x.clock.Since(l.now))
	return err
}

// run decides and scales; it returns which action that was.
func (l *look) run(ctx context.Context) (did string, err error) {
	if err := l.getScale(ctx); err != nil {
		return none, err
	}
	current := l.scale.Spec.Replicas
	l.history.begin(current, l.now)
	d, err := l.decide(ctx, current)
	if d.unknown {
		l.setStatus(current, l.hpa.Status.DesiredReplicas, d.metrics)
		return none, err
	}
	if d.replicas == current {
		l.setStatus(current, current, d.metrics)
		return none, err
	}
	if errScale := l.rescale(ctx, current, d); errScale != nil {
		l.setStatus(current, l.hpa.Status.DesiredReplicas, d.metrics)
		return none, errScale
	}
	l.setStatus(current, d.replicas, d.metrics)
	l.hpa.Status.LastScaleTime = ptr.To(metav1.NewTime(l.now))
	return action(current, d.replicas), err
}

// getScale reads the target's scale, of whichever of its versions has one.
func (l *look) getScale(ctx context.Context) error {
	fail := func(told, err error) error {
		l.events.Event(l.hpa, corev1.EventTypeWarning, "FailedGetScale", told.Error())
		l.condition(autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedGetScale", "the HPA controller was unable to get the target's current scale: %v", told)
		return err
	}
	ref := l.hpa.Spec.ScaleTargetRef
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return fail(err, fmt.Errorf("invalid API version in scale target reference: %w%w", err, errSpec))
	}
	mappings, err := l.mapper.RESTMappings(schema.GroupKind{Group: gv.Group, Kind: ref.Kind})
	if err != nil {
		return fail(err, fmt.Errorf("unable to determine resource for scale target reference: %w", err))
	}
	if l.scale, l.of, err = l.scaleBy(ctx, mappings); err != nil {
		return fail(err, fmt.Errorf("failed to query scale subresource for %s: %w", l.target, err))
	}
	l.condition(autoscalingv2.AbleToScale, corev1.ConditionTrue, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
	return nil
}

func (l *look) scaleBy(ctx context.Context, mappings []*meta.RESTMapping) (*autoscalingv1.Scale, schema.GroupResource, error) {
	first := errors.New("unrecognized resource")
	for i, mapping := range mappings {
		resource := mapping.Resource.GroupResource()
		scale, err := l.scales.Scales(l.hpa.Namespace).Get(ctx, resource, l.hpa.Spec.ScaleTargetRef.Name, metav1.GetOptions{})
		if err == nil {
			return scale, resource, nil
		}
		if i == 0 {
			first = err
		}
	}
	return nil, schema.GroupResource{}, first
}

// A decision is how many replicas there are to be, and why.
type decision struct {
	replicas int32
	unknown  bool // there is no telling
	reason   string
	metrics  []autoscalingv2.MetricStatus
}

func (l *look) decide(ctx context.Context, current int32) (*decision, error) {
	least, most := ptr.Deref(l.hpa.Spec.MinReplicas, 1), l.hpa.Spec.MaxReplicas
	wasScaledToZero := l.is(autoscalingv2.ScaledToZero)
	switch {
	case current == 0 && !(wasScaledToZero && (least != 0 || l.outsideMetrics())):
		l.condition(autoscalingv2.ScalingActive, corev1.ConditionFalse, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
		return &decision{}, nil
	case current > most:
		return &decision{replicas: most, reason: "Current number of replicas above Spec.MaxReplicas"}, nil
	case current != 0 && current < least:
		return &decision{replicas: least, reason: "Current number of replicas below Spec.MinReplicas"}, nil
	}
	proposed, statuses, err := l.ask(ctx)
	if proposed == nil {
		l.events.Event(l.hpa, corev1.EventTypeWarning, "FailedComputeMetricsReplicas", err.Error())
		return &decision{unknown: true, metrics: statuses}, fmt.Errorf("failed to compute desired number of replicas based on listed metrics for %s: %w", l.target, err)
	}
	d := &decision{metrics: statuses}
	switch {
	case proposed.replicas > current:
		d.reason = proposed.metric + " above target"
	case proposed.replicas < current:
		d.reason = "All metrics below target"
	}
	d.replicas = l.bound(current, proposed.replicas, least, most)
	if current == 0 && least != 0 && d.replicas < least {
		d.replicas = least
		if d.reason == "" {
			d.reason = "Current number of replicas below Spec.MinReplicas"
		}
	}
	return d, err
}

// ask asks all metrics; the one that wants the most counts. If some can't tell,
// the others may still ask for more, but not for less.
func (l *look) ask(ctx context.Context) (*proposal, []autoscalingv2.MetricStatus, error) {
	selector, pods, err := l.targetPods()
	if err != nil {
		return nil, nil, err
	}
	q := &question{
		sources: l.sources, namespace: l.hpa.Namespace, scale: l.scale, selector: selector, pods: pods,
		tolerance: l.tolerance(), startup: l.Startup, now: l.now,
	}
	var best *proposal
	var first error
	var firstReason string
	var firstCause error
	failed := 0
	statuses := make([]autoscalingv2.MetricStatus, len(l.hpa.Spec.Metrics))
	for i := range l.hpa.Spec.Metrics {
		spec := &l.hpa.Spec.Metrics[i]
		began := l.clock.Now()
		p, reason, cause, err := q.evaluate(ctx, spec)
		if err != nil {
			l.events.Event(l.hpa, corev1.EventTypeWarning, reason, cause.Error())
			observeComputation(none, err, spec.Type, l.clock.Since(began))
			if failed++; failed == 1 {
				first, firstReason, firstCause = err, reason, cause
			}
			continue
		}
		observeComputation(action(l.hpa.Status.CurrentReplicas, p.replicas), nil, spec.Type, l.clock.Since(began))
		statuses[i] = p.status
		if best == nil || p.replicas > best.replicas {
			best = p
		}
	}
	if failed > 0 {
		err = fmt.Errorf("invalid metrics (%v invalid out of %v), first error is: %w", failed, len(statuses), first)
		if best == nil || best.replicas < l.scale.Spec.Replicas {
			l.condition(autoscalingv2.ScalingActive, corev1.ConditionFalse, firstReason, "the HPA was unable to compute the replica count: %v", firstCause)
			return nil, statuses, err
		}
	}
	if best == nil {
		best = &proposal{}
	}
	l.condition(autoscalingv2.ScalingActive, corev1.ConditionTrue, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from %s", best.metric)
	return best, statuses, err
}

// targetPods are the target's pods. No other autoscaler may have any of them.
func (l *look) targetPods() (labels.Selector, []*corev1.Pod, error) {
	fail := func(event, reason, told, message string) (labels.Selector, []*corev1.Pod, error) {
		l.events.Event(l.hpa, corev1.EventTypeWarning, event, told)
		l.condition(autoscalingv2.ScalingActive, corev1.ConditionFalse, reason, "%s", message)
		return nil, nil, errors.New(told)
	}
	text := l.scale.Status.Selector
	if text == "" {
		return fail("SelectorRequired", "InvalidSelector", "selector is required", "the HPA target's scale is missing a selector")
	}
	selector, err := labels.Parse(text)
	if err != nil {
		told := fmt.Sprintf("couldn't convert selector into a corresponding internal selector object: %v", err)
		return fail("InvalidSelector", "InvalidSelector", told, told)
	}
	pods, err := l.pods.Pods(l.hpa.Namespace).List(selector)
	if err != nil {
		return nil, nil, err
	}
	name := cache.MetaObjectToName(l.hpa)
	l.selectors.put(name, selector)
	if rivals := l.selectors.others(name, pods); rivals != nil {
		told := fmt.Sprintf("pods by selector %v are controlled by more than one HPA (e.g. %v)", text, rivals)
		return fail("AmbiguousSelector", "AmbiguousSelector", told, told)
	}
	return selector, pods, nil
}

func (l *look) tolerance() tolerance {
	t := tolerance{l.Tolerance, l.Tolerance}
	if behavior := l.hpa.Spec.Behavior; behavior != nil {
		if down := behavior.ScaleDown; down != nil && down.Tolerance != nil {
			t.down = down.Tolerance.AsApproximateFloat64()
		}
		if up := behavior.ScaleUp; up != nil && up.Tolerance != nil {
			t.up = up.Tolerance.AsApproximateFloat64()
		}
	}
	return t
}

// bound holds a proposal back and says so.
func (l *look) bound(current, proposed, least, most int32) int32 {
	behavior := l.hpa.Spec.Behavior
	up, down := time.Duration(0), l.DownscaleStabilization
	if behavior != nil {
		up = seconds(ptr.Deref(behavior.ScaleUp.StabilizationWindowSeconds, 0))
		if window := behavior.ScaleDown.StabilizationWindowSeconds; window != nil {
			down = seconds(*window)
		}
	}
	settled := l.history.settle(current, proposed, up, down, l.now)
	switch {
	case settled == proposed:
		l.condition(autoscalingv2.AbleToScale, corev1.ConditionTrue, "ReadyForNewScale", "recommended size matches current size")
	case behavior != nil && proposed >= current:
		l.condition(autoscalingv2.AbleToScale, corev1.ConditionTrue, "ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation")
	default:
		l.condition(autoscalingv2.AbleToScale, corev1.ConditionTrue, "ScaleDownStabilized", "recent recommendations were higher than current one, applying the highest recent recommendation")
	}
	limited := plainly(current, settled, least, most)
	if behavior != nil {
		limited = byBehavior(current, settled, least, most, behavior, l.history, l.now)
	}
	status := corev1.ConditionTrue
	if limited.replicas == settled {
		status = corev1.ConditionFalse
	}
	l.condition(autoscalingv2.ScalingLimited, status, limited.reason, "%s", limited.message)
	return limited.replicas
}

// rescale writes the scale.
func (l *look) rescale(ctx context.Context, current int32, d *decision) error {
	scales := l.scales.Scales(l.hpa.Namespace)
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		l.scale.Spec.Replicas = d.replicas
		_, err := scales.Update(ctx, l.of, l.scale, metav1.UpdateOptions{})
		if err != nil {
			if latest, errGet := scales.Get(ctx, l.of, l.hpa.Spec.ScaleTargetRef.Name, metav1.GetOptions{}); errGet == nil {
				l.scale = latest
			}
		}
		return err
	})
	if err != nil {
		l.events.Eventf(l.hpa, corev1.EventTypeWarning, "FailedRescale", "New size: %d; reason: %s; error: %v", d.replicas, d.reason, err)
		l.condition(autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedUpdateScale", "the HPA controller was unable to update the target scale: %v", err)
		return fmt.Errorf("failed to rescale %s: %w", l.target, err)
	}
	l.condition(autoscalingv2.AbleToScale, corev1.ConditionTrue, "SucceededRescale", "the HPA controller was able to update the target scale to %d", d.replicas)
	l.events.Eventf(l.hpa, corev1.EventTypeNormal, "SuccessfulRescale", "New size: %d; reason: %s", d.replicas, d.reason)
	l.history.scaled(l.hpa.Spec.Behavior, current, d.replicas, l.now)
	if d.replicas == 0 && ptr.Deref(l.hpa.Spec.MinReplicas, 1) == 0 && l.outsideMetrics() {
		l.condition(autoscalingv2.ScaledToZero, corev1.ConditionTrue, "ScaledToZero", "the HPA controller scaled the workload to zero")
	} else {
		l.condition(autoscalingv2.ScaledToZero, corev1.ConditionFalse, "NotScaledToZero", "the HPA controller did not scale the workload to zero")
	}
	return nil
}

// outsideMetrics is whether there are metrics to go by when there are no pods.
func (l *look) outsideMetrics() bool {
	return slices.ContainsFunc(l.hpa.Spec.Metrics, func(m autoscalingv2.MetricSpec) bool {
		return m.Type == autoscalingv2.ObjectMetricSourceType || m.Type == autoscalingv2.ExternalMetricSourceType
	})
}
