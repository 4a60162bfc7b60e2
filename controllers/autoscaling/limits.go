package autoscaling

import (
	"math"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

// A limit is a bounded recommendation, and which bound it was.
type limit struct {
	replicas        int32
	reason, message string
}

func unlimited(replicas int32) limit {
	return limit{replicas, "DesiredWithinRange", "the desired count is within the acceptable range"}
}

// plainly bounds by the least and the most, and to the double or 4, whichever is
// more. It is for autoscalers without behavior.
func plainly(current, desired, least, most int32) limit {
	fastest := max(saturate(2*int64(current)), 4)
	switch {
	case desired < least:
		return limit{least, "TooFewReplicas", "the desired replica count is less than the minimum replica count"}
	case desired > fastest && fastest < most:
		return limit{fastest, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"}
	case desired > most:
		return limit{most, "TooManyReplicas", "the desired replica count is more than the maximum replica count"}
	}
	return unlimited(desired)
}

// byBehavior bounds by the least and the most, and by policies.
func byBehavior(current, desired, least, most int32, behavior *autoscalingv2.HorizontalPodAutoscalerBehavior, h *history, now time.Time) limit {
	switch {
	case desired > current:
		fastest := max(upLimit(current, behavior.ScaleUp, h, now), current)
		if most > fastest && desired > fastest {
			return limit{fastest, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"}
		}
		if desired > most {
			return limit{most, "TooManyReplicas", "the desired replica count is more than the maximum replica count"}
		}
	case desired < current:
		fastest := min(downLimit(current, behavior.ScaleDown, h, now), current)
		if least < fastest && desired < fastest {
			return limit{fastest, "ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate"}
		}
		if desired < least {
			return limit{least, "TooFewReplicas", "the desired replica count is less than the minimum replica count"}
		}
	}
	return unlimited(desired)
}

// upLimit is the most that rules let there be now.
func upLimit(current int32, rules *autoscalingv2.HPAScalingRules, h *history, now time.Time) int32 {
	lowest, highest := policyLimits(current, rules, h, now, func(start int32, policy autoscalingv2.HPAScalingPolicy) int32 {
		if policy.Type == autoscalingv2.PercentScalingPolicy {
			return ceil(float64(start) * (1 + float64(policy.Value)/100))
		}
		return saturate(int64(start) + int64(policy.Value))
	})
	if selects(rules) == autoscalingv2.MinChangePolicySelect {
		return lowest
	}
	return highest
}

// downLimit is the least that rules let there be now.
func downLimit(current int32, rules *autoscalingv2.HPAScalingRules, h *history, now time.Time) int32 {
	lowest, highest := policyLimits(current, rules, h, now, func(start int32, policy autoscalingv2.HPAScalingPolicy) int32 {
		if policy.Type == autoscalingv2.PercentScalingPolicy {
			return int32(float64(start) * (1 - float64(policy.Value)/100))
		}
		return start - policy.Value
	})
	if selects(rules) == autoscalingv2.MinChangePolicySelect {
		return highest
	}
	return lowest
}

// policyLimits are the lowest and the highest of what policies propose from what
// there was when their periods began. Rules that are disabled keep what there is.
func policyLimits(current int32, rules *autoscalingv2.HPAScalingRules, h *history, now time.Time, propose func(start int32, policy autoscalingv2.HPAScalingPolicy) int32) (lowest, highest int32) {
	if selects(rules) == autoscalingv2.DisabledPolicySelect {
		return current, current
	}
	for i, policy := range rules.Policies {
		proposed := propose(atStart(current, policy.PeriodSeconds, h, now), policy)
		if i == 0 {
			lowest, highest = proposed, proposed
		}
		lowest, highest = min(lowest, proposed), max(highest, proposed)
	}
	return lowest, highest
}

// atStart is how many replicas there were when a period began.
func atStart(current, periodSeconds int32, h *history, now time.Time) int32 {
	period := seconds(periodSeconds)
	return current - within(h.ups, period, now) + within(h.downs, period, now)
}

func selects(rules *autoscalingv2.HPAScalingRules) autoscalingv2.ScalingPolicySelect {
	if rules.SelectPolicy == nil {
		return autoscalingv2.MaxChangePolicySelect
	}
	return *rules.SelectPolicy
}

func saturate(n int64) int32 { return int32(min(n, math.MaxInt32)) }
