package placement

import (
	"math"

	corev1 "k8s.io/api/core/v1"
)

// spreadScores are PodTopologySpread's for the feasible nodes. Nodes without
// the labels are left out when the pod names its constraints itself. nil: the
// pod has no soft constraints.
func (k *kin) spreadScores(feasible []int32) []int64 {
	if len(k.soft) == 0 {
		return nil
	}
	ignored := make([]bool, len(feasible))
	left := len(feasible)
	if k.requireAll {
		for i, index := range feasible {
			for _, s := range k.soft {
				if !s.labeled[index] {
					ignored[i] = true
					left--
					break
				}
			}
		}
	}
	weights := make([]float64, len(k.soft))
	for c, s := range k.soft {
		size := left
		if s.key != corev1.LabelHostname {
			size = 0
			seen := make([]bool, len(s.total))
			for i, index := range feasible {
				if domain := s.domain[index]; !ignored[i] && !seen[domain] {
					seen[domain] = true
					size++
				}
			}
		}
		weights[c] = math.Log(float64(size + 2))
	}
	scores := make([]int64, len(feasible))
	least, most := int64(math.MaxInt64), int64(0)
	for i, index := range feasible {
		if ignored[i] {
			continue
		}
		var sum float64
		for c, s := range k.soft {
			if !s.labeled[index] {
				continue
			}
			count := s.total[s.domain[index]]
			if s.key == corev1.LabelHostname {
				count = s.pods[index]
			}
			sum += float64(count)*weights[c] + float64(s.maxSkew-1)
		}
		scores[i] = int64(math.Round(sum))
		least, most = min(least, scores[i]), max(most, scores[i])
	}
	for i := range scores {
		switch {
		case ignored[i]:
			scores[i] = 0
		case most == 0:
			scores[i] = maxScore
		default:
			scores[i] = maxScore * (most + least - scores[i]) / most
		}
	}
	return scores
}
