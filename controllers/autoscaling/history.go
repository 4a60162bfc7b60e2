package autoscaling

import (
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

// A history is what an autoscaler recommended and did of late.
type history struct {
	recommended []entry
	ups, downs  []entry // by how many
}

type entry struct {
	at       time.Time
	replicas int32
}

// since drops what was before, for good.
func since(entries []entry, cutoff time.Time) []entry {
	return slices.DeleteFunc(entries, func(e entry) bool { return e.at.Before(cutoff) })
}

// begin notes how many replicas there were when the history began, so that they
// aren't fewer at once.
func (h *history) begin(current int32, now time.Time) {
	if h.recommended == nil {
		h.recommended = []entry{{now, current}}
	}
}

// settle holds a recommendation back by those of late: the highest within the
// window for fewer replicas and the lowest within that for more bound what is
// now. It notes the recommendation.
func (h *history) settle(current, recommended int32, up, down time.Duration, now time.Time) int32 {
	lowest, highest := recommended, recommended
	for _, e := range h.recommended {
		if e.at.After(now.Add(-up)) {
			lowest = min(lowest, e.replicas)
		}
		if e.at.After(now.Add(-down)) {
			highest = max(highest, e.replicas)
		}
	}
	h.recommended = append(since(h.recommended, now.Add(-max(up, down))), entry{now, recommended})
	return min(max(current, lowest), highest)
}

// scaled notes what was done, for as long as policies ask.
func (h *history) scaled(behavior *autoscalingv2.HorizontalPodAutoscalerBehavior, from, to int32, now time.Time) {
	switch {
	case behavior == nil:
	case to > from:
		h.ups = append(since(h.ups, now.Add(-longest(behavior.ScaleUp))), entry{now, to - from})
	default:
		h.downs = append(since(h.downs, now.Add(-longest(behavior.ScaleDown))), entry{now, from - to})
	}
}

// longest is the longest period of rules' policies.
func longest(rules *autoscalingv2.HPAScalingRules) (period time.Duration) {
	for _, policy := range rules.Policies {
		period = max(period, seconds(policy.PeriodSeconds))
	}
	return period
}

// within is by how many replicas was scaled in a period.
func within(entries []entry, period time.Duration, now time.Time) (total int32) {
	for _, e := range entries {
		if e.at.After(now.Add(-period)) {
			total += e.replicas
		}
	}
	return total
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }
