package deployment

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A resize is the number of replicas that a ReplicaSet is to have. It may equal
// what it has; then only the annotations may need a change.
type resize struct {
	set  *appsv1.ReplicaSet
	size int32
}

func rolling(d *appsv1.Deployment) bool {
	return d.Spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType
}

// fences are how many pods more, and how many available pods fewer than asked
// for a rollout may have. Not both are 0: then nothing could ever roll.
func fences(d *appsv1.Deployment) (surge, unavailable int32) {
	if !rolling(d) || d.Spec.Strategy.RollingUpdate == nil {
		return 0, 0
	}
	// Validation let no other values in.
	scaled := func(value *intstr.IntOrString, up bool) int32 {
		n, err := intstr.GetScaledValueFromIntOrPercent(intstr.ValueOrDefault(value, intstr.FromInt32(0)), int(*d.Spec.Replicas), up)
		if err != nil {
			return 0
		}
		return int32(n)
	}
	surge, unavailable = scaled(d.Spec.Strategy.RollingUpdate.MaxSurge, true), scaled(d.Spec.Strategy.RollingUpdate.MaxUnavailable, false)
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, min(unavailable, *d.Spec.Replicas)
}

// grow is how many replicas the new ReplicaSet is to have now.
func grow(d *appsv1.Deployment, all []*appsv1.ReplicaSet, current int32) int32 {
	want := *d.Spec.Replicas
	if !rolling(d) || current > want {
		return want
	}
	surge, _ := fences(d)
	taken, known := occupied(all)
	if !known {
		return current
	}
	return current + max(0, min(want+surge-taken, want-current))
}

// occupied is how many pods the ReplicaSets have or will have: what was asked of
// them or, if that is less, what they haven't deleted yet. It isn't known while
// one of them has not seen what was asked of it, and so may have pods that it
// has not told of.
func occupied(sets []*appsv1.ReplicaSet) (pods int32, known bool) {
	for _, set := range sets {
		if set.Status.ObservedGeneration < set.Generation {
			return 0, false
		}
	}
	return sum(sets, func(s *appsv1.ReplicaSet) int32 { return max(*s.Spec.Replicas, s.Status.Replicas) }), true
}

// shrink are the old ReplicaSets that can have fewer replicas now: first those
// that aren't available anyway, then as many as leave enough available.
func shrink(d *appsv1.Deployment, fresh *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) []resize {
	all := append(slices.Clone(old), fresh)
	_, unavailable := fences(d)
	need := *d.Spec.Replicas - unavailable
	budget := desired(all) - need - (*fresh.Spec.Replicas - fresh.Status.AvailableReplicas)
	if budget <= 0 {
		return nil
	}
	plan := make([]resize, 0, len(old))
	for _, set := range byAge(active(old)) {
		sick := min(budget, max(0, *set.Spec.Replicas-set.Status.AvailableReplicas))
		budget -= sick
		plan = append(plan, resize{set, *set.Spec.Replicas - sick})
	}
	// A ReplicaSet whose controller hasn't caught up with its size counts
	// available pods that are about to go.
	spare := -need + sum(all, func(s *appsv1.ReplicaSet) int32 { return min(s.Status.AvailableReplicas, *s.Spec.Replicas) })
	for i := range plan {
		less := max(0, min(plan[i].size, spare))
		spare -= less
		plan[i].size -= less
	}
	return slices.DeleteFunc(plan, func(r resize) bool { return r.size == *r.set.Spec.Replicas })
}

// proportions spreads what a scaled Deployment has more or fewer over all its
// active ReplicaSets, by their size, so that a rollout under way keeps its risk
// (https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#proportional-scaling).
func proportions(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) []resize {
	surge, _ := fences(d)
	allowed := int32(0)
	if *d.Spec.Replicas > 0 {
		allowed = *d.Spec.Replicas + surge
	}
	sets = active(sets)
	add := allowed - desired(sets)
	// The largest changes most; of equals the newest grows and the oldest shrinks.
	slices.SortStableFunc(sets, func(a, b *appsv1.ReplicaSet) int {
		age := compareAge(a, b)
		if add > 0 {
			age = -age
		}
		return cmp.Or(cmp.Compare(*b.Spec.Replicas, *a.Spec.Replicas), age)
	})
	plan := make([]resize, len(sets))
	left := add
	for i, set := range sets {
		share := int32(0)
		if left != 0 {
			share = fraction(d, set, surge)
			if add > 0 {
				share = min(share, left)
			} else {
				share = max(share, left)
			}
		}
		left -= share
		plan[i] = resize{set, *set.Spec.Replicas + share}
	}
	if len(plan) > 0 {
		plan[0].size = max(0, plan[0].size+left)
	}
	return plan
}

// fraction is how much a ReplicaSet changes when the Deployment does.
func fraction(d *appsv1.Deployment, set *appsv1.ReplicaSet, surge int32) int32 {
	if *d.Spec.Replicas == 0 {
		return -*set.Spec.Replicas
	}
	before, ok := count(set, maxReplicasAnnotation)
	if !ok || before == 0 {
		if before = d.Status.Replicas; before == 0 {
			return 0
		}
	}
	size := float64(*set.Spec.Replicas) * float64(*d.Spec.Replicas+surge) / float64(before)
	return int32(math.Round(size)) - *set.Spec.Replicas
}

// saturated is whether the new ReplicaSet has all the pods, available.
func saturated(d *appsv1.Deployment, fresh *appsv1.ReplicaSet) bool {
	if fresh == nil {
		return false
	}
	annotated, ok := count(fresh, desiredReplicasAnnotation)
	want := *d.Spec.Replicas
	return ok && annotated == want && *fresh.Spec.Replicas == want && fresh.Status.AvailableReplicas == want
}

// activeOrLatest is the only ReplicaSet with replicas or, if none has any, the
// newest. It is nil while several have.
func activeOrLatest(fresh *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) *appsv1.ReplicaSet {
	running := active(append(slices.Clone(old), fresh))
	switch {
	case len(running) == 1:
		return running[0]
	case len(running) > 1:
		return nil
	case fresh != nil:
		return fresh
	case len(old) > 0:
		return byAge(old)[len(old)-1]
	}
	return nil
}

// scaled is whether the Deployment's replicas changed since its ReplicaSets were
// last told.
func scaled(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) bool {
	return slices.ContainsFunc(active(sets), func(set *appsv1.ReplicaSet) bool {
		annotated, ok := count(set, desiredReplicasAnnotation)
		return ok && annotated != *d.Spec.Replicas
	})
}

func active(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	return slices.DeleteFunc(slices.Clone(sets), func(s *appsv1.ReplicaSet) bool { return s == nil || *s.Spec.Replicas == 0 })
}

func byAge(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	return slices.SortedStableFunc(slices.Values(sets), compareAge)
}

// compareAge puts the older first.
func compareAge(a, b *appsv1.ReplicaSet) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

func desired(sets []*appsv1.ReplicaSet) int32 {
	return sum(sets, func(s *appsv1.ReplicaSet) int32 { return *s.Spec.Replicas })
}

func available(sets []*appsv1.ReplicaSet) int32 {
	return sum(sets, func(s *appsv1.ReplicaSet) int32 { return s.Status.AvailableReplicas })
}

func actual(sets []*appsv1.ReplicaSet) int32 {
	return sum(sets, func(s *appsv1.ReplicaSet) int32 { return s.Status.Replicas })
}

func sum(sets []*appsv1.ReplicaSet, of func(*appsv1.ReplicaSet) int32) (total int32) {
	for _, set := range sets {
		if set != nil {
			total += of(set)
		}
	}
	return total
}

// count is an annotation's number of replicas.
func count(set *appsv1.ReplicaSet, annotation string) (int32, bool) {
	n, err := strconv.ParseInt(set.Annotations[annotation], 10, 32)
	return int32(n), err == nil && n >= 0
}
