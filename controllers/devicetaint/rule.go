package devicetaint

import (
	"context"
	"fmt"
	"slices"
	"time"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	metav1apply "k8s.io/client-go/applyconfigurations/meta/v1"
	resourceapply "k8s.io/client-go/applyconfigurations/resource/v1"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"
)

// statusPeriod is the least time between two writes to a rule's status.
const statusPeriod = 10 * time.Second

func (x *controller) ruleChanged(rule *resourceapi.DeviceTaintRule) {
	x.queue.Add(key{rule: rule.Name})
	x.matchingChanged(rule)
}

func (x *controller) ruleUpdated(before, after *resourceapi.DeviceTaintRule) {
	if before.UID == after.UID && equality.Semantic.DeepEqual(&before.Spec, &after.Spec) {
		return
	}
	x.queue.Add(key{rule: after.Name})
	x.matchingChanged(before)
	x.matchingChanged(after)
}

func (x *controller) ruleGone(rule *resourceapi.DeviceTaintRule) {
	x.mu.Lock()
	delete(x.evicted, rule.UID)
	x.mu.Unlock()
	x.matchingChanged(rule)
}

// matchingChanged has the pods looked at whose devices a rule selects, if it
// evicts.
func (x *controller) matchingChanged(rule *resourceapi.DeviceTaintRule) {
	if rule.Spec.Taint.Effect != resourceapi.DeviceTaintEffectNoExecute {
		return
	}
	for _, claim := range x.allClaims() {
		if slices.ContainsFunc(results(claim), func(r resourceapi.DeviceRequestAllocationResult) bool {
			return selects(rule, r.Driver, r.Pool, r.Device)
		}) {
			x.claimChanged(claim)
		}
	}
}

func (x *controller) allClaims() []*resourceapi.ResourceClaim {
	claims, err := x.claims.List(labels.Everything())
	if err != nil {
		return nil // an informer's never fails
	}
	return claims
}

func results(claim *resourceapi.ResourceClaim) []resourceapi.DeviceRequestAllocationResult {
	if claim.Status.Allocation == nil {
		return nil
	}
	return claim.Status.Allocation.Devices.Results
}

func selects(rule *resourceapi.DeviceTaintRule, driver, pool, device string) bool {
	s := rule.Spec.DeviceSelector
	return s != nil && (s.Driver == nil || *s.Driver == driver) && (s.Pool == nil || *s.Pool == pool) && (s.Device == nil || *s.Device == device)
}

// syncRule writes to a rule's status how far eviction is.
func (x *controller) syncRule(ctx context.Context, name string) error {
	rule, err := x.rules.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	now := x.clock.Now()
	old := meta.FindStatusCondition(rule.Status.Conditions, resourceapi.DeviceTaintConditionEvictionInProgress)
	if old == nil {
		old = &metav1.Condition{}
	} else if left := statusPeriod - now.Sub(old.LastTransitionTime.Time); old.ObservedGeneration == rule.Generation && left > 0 {
		x.queue.AddAfter(key{rule: name}, left)
		return nil
	}
	condition, err := x.progress(rule)
	if err != nil {
		return err
	}
	condition.LastTransitionTime = old.LastTransitionTime
	if *condition == *old {
		return nil
	}
	apply := metav1apply.Condition().WithType(condition.Type).WithStatus(condition.Status).WithReason(condition.Reason).WithMessage(condition.Message).
		WithObservedGeneration(condition.ObservedGeneration).WithLastTransitionTime(metav1.NewTime(now))
	status := resourceapply.DeviceTaintRule(name).WithUID(rule.UID).WithStatus(resourceapply.DeviceTaintRuleStatus().WithConditions(apply))
	_, err = x.client.ResourceV1().DeviceTaintRules().ApplyStatus(ctx, status, metav1.ApplyOptions{FieldManager: names.DeviceTaintEvictionController, Force: true})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("add condition to DeviceTaintRule status: %w", err)
	}
	return nil
}

// progress is what the condition EvictionInProgress says of a rule.
func (x *controller) progress(rule *resourceapi.DeviceTaintRule) (*metav1.Condition, error) {
	x.mu.Lock()
	evicted := x.evicted[rule.UID]
	x.mu.Unlock()
	condition := &metav1.Condition{Type: resourceapi.DeviceTaintConditionEvictionInProgress, Status: metav1.ConditionFalse, ObservedGeneration: rule.Generation}
	switch rule.Spec.Taint.Effect {
	case resourceapi.DeviceTaintEffectNoExecute:
		pods, namespaces, err := x.pending(rule)
		switch {
		case err != nil:
			return nil, err
		case pods > 0:
			condition.Status, condition.Reason = metav1.ConditionTrue, "PodsPendingEviction"
			condition.Message = count(pods, "pod needs", "pods need") + " to be evicted in " + count(namespaces, "namespace", "different namespaces") + "."
		case evicted > 0:
			condition.Reason = "Completed"
		default:
			condition.Reason = "NotStarted"
		}
	case resourceapi.DeviceTaintEffectNone:
		would := rule.DeepCopy()
		would.Spec.Taint.Effect = resourceapi.DeviceTaintEffectNoExecute
		pods, namespaces, err := x.pending(would)
		if err != nil {
			return nil, err
		}
		published, allocated := x.selected(rule)
		condition.Reason = "NoEffect"
		condition.Message = count(published, "published device", "published devices") + " selected. " + count(allocated, "allocated device", "allocated devices") + " selected. " +
			count(pods, "pod", "pods") + " would be evicted in " + count(namespaces, "namespace", "different namespaces") +
			" if the effect was NoExecute. This information will not be updated again. Recreate the DeviceTaintRule to trigger an update."
	default:
		condition.Reason, condition.Message = "OtherEffect", "Eviction only happens for the NoExecute effect."
	}
	if evicted > 0 {
		if condition.Message != "" {
			condition.Message += " "
		}
		condition.Message += count(evicted, "pod", "pods") + " evicted since starting the controller."
	}
	return condition, nil
}

func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// pending counts the pods that go because of a rule, and their namespaces.
func (x *controller) pending(rule *resourceapi.DeviceTaintRule) (pods, namespaces int64, err error) {
	all, err := x.pods.List(labels.Everything())
	if err != nil {
		return 0, 0, err
	}
	rules, err := x.rules.List(labels.Everything())
	if err != nil {
		return 0, 0, err
	}
	rules = append(slices.DeleteFunc(rules, func(r *resourceapi.DeviceTaintRule) bool { return r.UID == rule.UID }), rule)
	in := map[string]bool{}
	for _, pod := range all {
		if pod.DeletionTimestamp != nil {
			continue
		}
		if _, because := x.sentence(pod, rules); because[rule.UID] {
			pods++
			in[pod.Namespace] = true
		}
	}
	return pods, int64(len(in)), nil
}

// selected counts the devices that a rule selects: those of slices, and those
// that claims have.
func (x *controller) selected(rule *resourceapi.DeviceTaintRule) (published, allocated int64) {
	for _, pool := range x.slices.GetIndexer().ListIndexFuncValues(byPool) {
		for _, slice := range current(x.slicesOf(pool)) {
			for i := range slice.Spec.Devices {
				if selects(rule, slice.Spec.Driver, slice.Spec.Pool.Name, slice.Spec.Devices[i].Name) {
					published++
				}
			}
		}
	}
	for _, claim := range x.allClaims() {
		for _, r := range results(claim) {
			if selects(rule, r.Driver, r.Pool, r.Device) {
				allocated++
			}
		}
	}
	return published, allocated
}

// claimOf finds a claim; nil: there is none.
func (x *controller) claimOf(namespace, name string) *resourceapi.ResourceClaim {
	claim, err := x.claims.ResourceClaims(namespace).Get(name)
	if err != nil {
		return nil
	}
	return claim
}
