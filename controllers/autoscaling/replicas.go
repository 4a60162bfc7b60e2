package autoscaling

import (
	"errors"
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"

	pods "github.com/howdah/howdah/controllers/pod"
)

// A sample is what a pod used, in thousandths of the metric's unit.
type sample struct {
	at     time.Time
	window time.Duration
	value  int64
}

// samples are by the names of pods.
type samples map[string]sample

func (s samples) sum() (total int64) {
	for _, one := range s {
		total += one.value
	}
	return total
}

// Tolerance is by how much usage may be off without scaling: 0.1 is a tenth.
type tolerance struct{ down, up float64 }

func (t tolerance) covers(ratio float64) bool { return 1-t.down <= ratio && ratio <= 1+t.up }

// Startup is how young pods are treated, whose CPU usage says little.
type Startup struct {
	// CPUInitialization is how long after a pod's start its CPU samples are only
	// taken while it is ready.
	CPUInitialization time.Duration
	// ReadinessDelay is how long after a pod's start it may become unready for it
	// still to count as never having been ready.
	ReadinessDelay time.Duration
}

// groups are an autoscaler's pods by what is known of their usage.
type groups struct {
	ready            int
	unready, missing []string
}

// group sorts pods, and takes the samples of those out that don't count.
func group(all []*corev1.Pod, s samples, of corev1.ResourceName, startup Startup, now time.Time) groups {
	var g groups
	for _, pod := range all {
		one, known := s[pod.Name]
		switch {
		case pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed:
			delete(s, pod.Name)
		case pod.Status.Phase == corev1.PodPending:
			g.unready = append(g.unready, pod.Name)
			delete(s, pod.Name)
		case !known:
			g.missing = append(g.missing, pod.Name)
		case of == corev1.ResourceCPU && starting(pod, one, startup, now):
			g.unready = append(g.unready, pod.Name)
			delete(s, pod.Name)
		default:
			g.ready++
		}
	}
	return g
}

// starting is whether a pod's CPU sample may be of its start.
func starting(pod *corev1.Pod, s sample, startup Startup, now time.Time) bool {
	condition := pods.Condition(pod, corev1.PodReady)
	if condition == nil || pod.Status.StartTime == nil {
		return true
	}
	began, changed := pod.Status.StartTime.Time, condition.LastTransitionTime.Time
	if began.Add(startup.CPUInitialization).After(now) {
		return condition.Status == corev1.ConditionFalse || s.at.Before(changed.Add(s.window))
	}
	return condition.Status == corev1.ConditionFalse && began.Add(startup.ReadinessDelay).After(changed)
}

// byPods is how many replicas pods' samples call for. ratio is that of usage to
// target; full is what a pod without a sample is taken to use when the others'
// say that there are too many.
func byPods(current int32, s samples, g groups, ratio func(samples) (float64, error), full func(pod string) int64, t tolerance) (int32, error) {
	usage, err := ratio(s)
	if err != nil {
		return 0, err
	}
	unready := g.unready
	if usage <= 1 {
		unready = nil // they would only make for fewer
	}
	if len(unready) == 0 && len(g.missing) == 0 {
		if t.covers(usage) {
			return current, nil
		}
		return ceil(usage * float64(g.ready)), nil
	}
	// Of what isn't known the more cautious is assumed.
	for _, pod := range g.missing {
		switch {
		case usage < 1:
			s[pod] = sample{value: full(pod)}
		case usage > 1:
			s[pod] = sample{}
		}
	}
	for _, pod := range unready {
		s[pod] = sample{}
	}
	cautious, err := ratio(s)
	if err != nil {
		return 0, err
	}
	if t.covers(cautious) || usage < 1 && cautious > 1 || usage > 1 && cautious < 1 {
		return current, nil
	}
	replicas := ceil(cautious * float64(len(s)))
	if cautious < 1 && replicas > current || cautious > 1 && replicas < current {
		return current, nil
	}
	return replicas, nil
}

// utilization is the share of what pods request that they use: the ratio to a
// target of so many percent, the percentage, and the average use of a pod.
func utilization(s samples, requests map[string]int64, target int32) (ratio float64, percent int32, average int64, err error) {
	used, requested, n := int64(0), int64(0), int64(0)
	for pod, one := range s {
		if request, ok := requests[pod]; ok {
			used += one.value
			requested += request
			n++
		}
	}
	if requested == 0 {
		return 0, 0, 0, errors.New("no metrics returned matched known pods")
	}
	percent = int32(used * 100 / requested)
	return float64(percent) / float64(target), percent, used / n, nil
}

// requests are what pods, or one container of each, request, in thousandths.
func requests(all []*corev1.Pod, container string, of corev1.ResourceName) (map[string]int64, error) {
	out := make(map[string]int64, len(all))
	for _, pod := range all {
		if container == "" && resource.IsPodLevelRequestsSet(pod) {
			quantity, ok := resource.PodRequests(pod, resource.PodResourcesOptions{})[of]
			if !ok {
				return nil, fmt.Errorf("missing pod-level request for %s in Pod %s", of, pod.Name)
			}
			out[pod.Name] = quantity.MilliValue()
			continue
		}
		request, err := containerRequests(pod, container, of)
		if err != nil {
			return nil, err
		}
		out[pod.Name] = request
	}
	return out, nil
}

func containerRequests(pod *corev1.Pod, container string, of corev1.ResourceName) (total int64, err error) {
	containers := append([]corev1.Container{}, pod.Spec.Containers...)
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, *c)
		}
	}
	for i := range containers {
		c := &containers[i]
		if container != "" && container != c.Name {
			continue
		}
		quantity, ok := c.Resources.Requests[of]
		if !ok {
			return 0, fmt.Errorf("missing request for %s in container %s of Pod %s", of, c.Name, pod.Name)
		}
		total += quantity.MilliValue()
		if container != "" {
			return total, nil
		}
	}
	if container != "" {
		return 0, fmt.Errorf("container %s not found in Pod %s", container, pod.Name)
	}
	return total, nil
}

// byRatio is how many replicas a value calls for that all pods have in common.
func byRatio(current int32, ratio float64, ready func() (int, error), t tolerance) (int32, error) {
	if current == 0 {
		return ceil(ratio), nil
	}
	if t.covers(ratio) {
		return current, nil
	}
	n, err := ready()
	return ceil(ratio * float64(n)), err
}

// byAverage is how many replicas a value calls for of which each pod is to have
// so much, and how much each has.
func byAverage(pods int32, value, target int64, t tolerance) (replicas int32, average int64) {
	if pods == 0 {
		return ceil(float64(value) / float64(target)), value
	}
	replicas = pods
	if !t.covers(float64(value) / (float64(target) * float64(pods))) {
		replicas = ceil(float64(value) / float64(target))
	}
	if average := math.Ceil(float64(value) / float64(pods)); average < math.MaxInt64 {
		return replicas, int64(average)
	}
	return replicas, math.MaxInt64
}

func ceil(x float64) int32 { return int32(min(math.Ceil(x), math.MaxInt32)) }
