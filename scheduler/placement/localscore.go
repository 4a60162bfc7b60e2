package placement

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/howdah/howdah/scheduler/state"
)

const maxScore = 100

// intolerable counts taints of PreferNoSchedule that the pod doesn't tolerate.
func (r *rules) intolerable(node *state.Node) int64 {
	var n int64
	for i := range node.Obj.Spec.Taints {
		taint := &node.Obj.Spec.Taints[i]
		if taint.Effect == corev1.TaintEffectPreferNoSchedule && !corev1helpers.TolerationsTolerateTaint(noLog, r.soft, taint, false) {
			n++
		}
	}
	return n
}

// preference sums the weights of the preferred terms that match.
func (r *rules) preference(node *state.Node) int64 {
	var n int64
	if added := r.config.addedPreferred; added != nil {
		n += added.Score(node.Obj)
	}
	if r.preferred != nil {
		n += r.preferred.Score(node.Obj)
	}
	return n
}

// prefers tells whether node affinity scores this pod at all.
func (r *rules) prefers() bool { return r.preferred != nil || r.config.addedPreferred != nil }

// resourceScores are those by what a node has and what of it is taken; count may be
// nil.
func (r *rules) resourceScores(node *state.Node, count DeviceCount) (weighted int64) {
	if w := r.config.weights[NodeResourcesFit]; w != 0 {
		weighted += w * r.fitScore(node, count)
	}
	if w := r.config.weights[BalancedAllocation]; w != 0 {
		weighted += w * r.balancedScore(node, count)
	}
	return weighted
}

// amounts of one resource, as scoring counts them. Nothing is allocatable of a
// resource that scoring leaves out.
func amounts(node *state.Node, count DeviceCount, name corev1.ResourceName, request int64, exact bool) (allocatable, allocated int64) {
	switch name {
	case corev1.ResourceCPU:
		if exact {
			return node.Allocatable.MilliCPU, node.Requested.MilliCPU
		}
		return node.Allocatable.MilliCPU, node.ScoredMilliCPU
	case corev1.ResourceMemory:
		if exact {
			return node.Allocatable.Memory, node.Requested.Memory
		}
		return node.Allocatable.Memory, node.ScoredMemory
	case corev1.ResourceEphemeralStorage:
		return node.Allocatable.EphemeralStorage, node.Requested.EphemeralStorage
	}
	if request == 0 && state.IsScalar(name) {
		return 0, 0
	}
	if count != nil && node.Allocatable.Scalar[name] == 0 {
		if there, taken := count.On(node, name); there > 0 {
			return there, taken
		}
	}
	return node.Allocatable.Scalar[name], node.Requested.Scalar[name]
}

// fitScore is NodeResourcesFit's.
func (r *rules) fitScore(node *state.Node, count DeviceCount) int64 {
	var sum, weights int64
	for i, resource := range r.config.Fit.Resources {
		allocatable, allocated := amounts(node, count, corev1.ResourceName(resource.Name), r.fitRequests[i], false)
		if allocatable == 0 {
			continue
		}
		requested := allocated + r.fitRequests[i]
		var score int64
		switch r.config.Fit.Type {
		case "MostAllocated":
			score = min(requested, allocatable) * maxScore / allocatable
		case "RequestedToCapacityRatio":
			utilization := int64(maxScore)
			if requested <= allocatable {
				utilization = requested * maxScore / allocatable
			}
			if score = r.config.ratio(utilization); score <= 0 {
				continue
			}
		default: // LeastAllocated
			if requested <= allocatable {
				score = (allocatable - requested) * maxScore / allocatable
			}
		}
		sum += score * resource.Weight
		weights += resource.Weight
	}
	if weights == 0 {
		return 0
	}
	if r.config.Fit.Type == "RequestedToCapacityRatio" {
		return int64(math.Round(float64(sum) / float64(weights)))
	}
	return sum / weights
}

// ratio is the line through the points of the shape.
func (p *profile) ratio(utilization int64) int64 {
	const perPoint = maxScore / 10
	shape := p.Fit.Shape
	for i, point := range shape {
		if utilization <= point.Utilization {
			if i == 0 {
				return point.Score * perPoint
			}
			before := shape[i-1]
			return before.Score*perPoint + (point.Score-before.Score)*perPoint*(utilization-before.Utilization)/(point.Utilization-before.Utilization)
		}
	}
	if len(shape) == 0 {
		return 0
	}
	return shape[len(shape)-1].Score * perPoint
}

// balancedScore is NodeResourcesBalancedAllocation's: better the closer the pod
// brings the fractions of the resources to each other.
func (r *rules) balancedScore(node *state.Node, count DeviceCount) int64 {
	if r.bestEffort {
		return 0
	}
	var with, without [8]float64
	a, b := with[:0], without[:0]
	for i, resource := range r.config.BalancedResources {
		allocatable, allocated := amounts(node, count, corev1.ResourceName(resource.Name), r.balancedRequests[i], true)
		if allocatable == 0 {
			continue
		}
		a = append(a, min(1, float64(allocated+r.balancedRequests[i])/float64(allocatable)))
		b = append(b, min(1, float64(allocated)/float64(allocatable)))
	}
	return maxScore/2 + (maxScore/2+evenness(a)-evenness(b))/2
}

// evenness is 100 less the standard deviation in hundredths.
func evenness(fractions []float64) int64 {
	deviation := 0.0
	switch n := len(fractions); {
	case n == 2:
		deviation = math.Abs((fractions[0] - fractions[1]) / 2)
	case n > 2:
		var mean, sum float64
		for _, f := range fractions {
			mean += f
		}
		mean /= float64(n)
		for _, f := range fractions {
			sum += (f - mean) * (f - mean)
		}
		deviation = math.Sqrt(sum / float64(n))
	}
	return int64((1 - deviation) * maxScore)
}

// imageScore is ImageLocality's: bytes of the pod's images that the node has,
// each as far as other nodes have it too, so that nodes don't heat up.
func (r *rules) imageScore(cluster *state.Cluster, node *state.Node) int64 {
	const (
		mb    = 1 << 20
		least = 23 * mb
	)
	var sum int64
	for _, name := range r.images {
		image := cluster.Image(name)
		if image == nil || !hasImage(node.Obj, name) {
			continue
		}
		sum += int64(float64(image.Size) * (float64(image.Nodes) / float64(len(cluster.Nodes()))))
	}
	most := 1000 * mb * r.imageCount
	if most <= least {
		return 0
	}
	return maxScore * (min(max(sum, least), most) - least) / (most - least)
}

func hasImage(node *corev1.Node, name string) bool {
	for i := range node.Status.Images {
		for _, have := range node.Status.Images[i].Names {
			if have == name {
				return true
			}
		}
	}
	return false
}
