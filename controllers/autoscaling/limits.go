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
	if selects(rules) == autoscalingv2.DisabledPolicySelect {
		return current
	}
	result, started := int32(0), false
	for _, policy := range rules.Policies {
		start := atStart(current, policy.PeriodSeconds, h, now)
		proposed := saturate(int64(start) + int64(policy.Value))
		if policy.Type == autoscalingv2.PercentScalingPolicy {
			proposed = ceil(float64(start) * (1 + float64(policy.Value)/100))
		}
		switch {
		case !started:
			result, started = proposed, true
		case selects(rules) == autoscalingv2.MinChangePolicySelect:
			result = min(result, proposed)
		default:
			result = max(result, proposed)
		}
	}
	return result
}

// downLimit is the least that rules let there be now.
func downLimit(current int32, rules *autoscalingv2.HPAScalingRules, h *history, now time.Time) int32 {
	if selects(rules) == autoscalingv2.DisabledPolicySelect {
		return current
	}
	result, started := int32(0), false
	for _, policy := range rules.Policies {
		start := atStart(current, policy.PeriodSeconds, h, now)
		proposed := start - policy.Value
		if policy.Type == autoscalingv2.PercentScalingPolicy {
			proposed = int32(float64(start) * (1 - float64(policy.Value)/100))
		}
		switch {
		case !started:
			result, started = proposed, true
		case selects(rules) == autoscalingv2.MinChangePolicySelect:
			result = max(result, proposed)
		default:
			result = min(result, proposed)
		}
	}
	return result
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
