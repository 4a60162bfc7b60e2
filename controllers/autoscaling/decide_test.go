package autoscaling

import (
	"math"
	"testing"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

var (
	now     = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	startup = Startup{CPUInitialization: 5 * time.Minute, ReadinessDelay: 30 * time.Second}
	tenth   = tolerance{0.1, 0.1}
)

func aPod(name string, changes ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, StartTime: &metav1.Time{Time: now.Add(-time.Hour)},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Hour))}},
		},
	}
	for _, change := range changes {
		change(pod)
	}
	return pod
}

func pending(pod *corev1.Pod) { pod.Status.Phase = corev1.PodPending }
func leaving(pod *corev1.Pod) { pod.DeletionTimestamp = &metav1.Time{Time: now} }

// TestByUtilization has the examples of the autoscaler's documentation and
// design: cautious about what it doesn't know.
func TestByUtilization(t *testing.T) {
	for _, test := range []struct {
		name    string
		pods    []*corev1.Pod
		used    map[string]int64 // of 1000 requested
		target  int32
		current int32
		want    int32
		percent int32
	}{
		{"as it should be", []*corev1.Pod{aPod("a"), aPod("b")}, map[string]int64{"a": 500, "b": 500}, 50, 2, 2, 50},
		{"twice", []*corev1.Pod{aPod("a"), aPod("b")}, map[string]int64{"a": 1000, "b": 1000}, 50, 2, 4, 100},
		{"half", []*corev1.Pod{aPod("a"), aPod("b"), aPod("c"), aPod("d")}, map[string]int64{"a": 250, "b": 250, "c": 250, "d": 250}, 50, 4, 2, 25},
		{"within tolerance", []*corev1.Pod{aPod("a"), aPod("b")}, map[string]int64{"a": 540, "b": 540}, 50, 2, 2, 54},
		{"more, one is unready", []*corev1.Pod{aPod("a"), aPod("b"), aPod("c", pending)}, map[string]int64{"a": 1000, "b": 1000}, 50, 3, 4, 100},
		{"more, so many are unready that it needn't be", []*corev1.Pod{aPod("a"), aPod("b", pending), aPod("c", pending)}, map[string]int64{"a": 1000}, 50, 3, 3, 100},
		{"fewer, one is missing", []*corev1.Pod{aPod("a"), aPod("b"), aPod("c"), aPod("d")}, map[string]int64{"a": 100, "b": 100, "c": 100}, 50, 4, 3, 10},
		{"more, one is missing", []*corev1.Pod{aPod("a"), aPod("b")}, map[string]int64{"a": 1000}, 50, 2, 2, 100},
		{"one is leaving", []*corev1.Pod{aPod("a"), aPod("b", leaving)}, map[string]int64{"a": 1000, "b": 10}, 50, 2, 2, 100},
	} {
		found := samples{}
		for pod, value := range test.used {
			found[pod] = sample{now, time.Minute, value}
		}
		q := &question{pods: test.pods, tolerance: tenth, startup: startup, now: now}
		q.scale = &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: test.current}}
		got, percent, _, err := q.byUtilization(found, corev1.ResourceCPU, "", test.target)
		if err != nil || got != test.want || percent != test.percent {
			t.Errorf("%s: %d at %d%% (%v), want %d at %d%%", test.name, got, percent, err, test.want, test.percent)
		}
	}
}

func TestStarting(t *testing.T) {
	young := func(ready corev1.ConditionStatus, changed time.Duration) *corev1.Pod {
		return aPod("a", func(pod *corev1.Pod) {
			pod.Status.StartTime = &metav1.Time{Time: now.Add(-2 * time.Minute)}
			pod.Status.Conditions[0].Status = ready
			pod.Status.Conditions[0].LastTransitionTime = metav1.NewTime(now.Add(-changed))
		})
	}
	old := func(ready corev1.ConditionStatus, changedAfterStart time.Duration) *corev1.Pod {
		return aPod("a", func(pod *corev1.Pod) {
			pod.Status.Conditions[0].Status = ready
			pod.Status.Conditions[0].LastTransitionTime = metav1.NewTime(pod.Status.StartTime.Add(changedAfterStart))
		})
	}
	for _, test := range []struct {
		name string
		pod  *corev1.Pod
		want bool
	}{
		{"ready, and sampled since", young(corev1.ConditionTrue, 100*time.Second), false},
		{"ready, sampled before", young(corev1.ConditionTrue, 10*time.Second), true},
		{"young and unready", young(corev1.ConditionFalse, 100*time.Second), true},
		{"never was ready", old(corev1.ConditionFalse, 10*time.Second), true},
		{"was ready", old(corev1.ConditionFalse, 10*time.Minute), false},
		{"says nothing", aPod("a", func(pod *corev1.Pod) { pod.Status.Conditions = nil }), true},
	} {
		if got := starting(test.pod, sample{now, time.Minute, 1}, startup, now); got != test.want {
			t.Errorf("%s: starting %v", test.name, got)
		}
	}
}

func TestRequests(t *testing.T) {
	both := aPod("a", func(pod *corev1.Pod) {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "side", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m")}}})
	})
	for container, want := range map[string]int64{"": 1250, "side": 250} {
		if got, err := requests([]*corev1.Pod{both}, container, corev1.ResourceCPU); err != nil || got["a"] != want {
			t.Errorf("container %q requests %v, %v", container, got, err)
		}
	}
	if _, err := requests([]*corev1.Pod{both}, "none", corev1.ResourceCPU); err == nil || err.Error() != "container none not found in Pod a" {
		t.Errorf("an unknown container: %v", err)
	}
	if _, err := requests([]*corev1.Pod{both}, "", corev1.ResourceMemory); err == nil || err.Error() != "missing request for memory in container main of Pod a" {
		t.Errorf("no request: %v", err)
	}
}

func TestByAverage(t *testing.T) {
	for _, test := range []struct {
		pods          int32
		value, target int64
		replicas      int32
		average       int64
	}{
		{2, 200, 100, 2, 100}, {2, 400, 100, 4, 200}, {2, 210, 100, 2, 105}, {0, 300, 100, 3, 300}, {1, math.MaxInt64, 1, math.MaxInt32, math.MaxInt64},
	} {
		if replicas, average := byAverage(test.pods, test.value, test.target, tenth); replicas != test.replicas || average != test.average {
			t.Errorf("%+v: %d of %d each", test, replicas, average)
		}
	}
	ready := func() (int, error) { return 3, nil }
	for _, test := range []struct {
		current int32
		ratio   float64
		want    int32
	}{{3, 2, 6}, {3, 1.05, 3}, {0, 1.2, 2}, {0, 0, 0}, {3, 1e300, math.MaxInt32}} {
		if got, err := byRatio(test.current, test.ratio, ready, tenth); err != nil || got != test.want {
			t.Errorf("%+v: %d, %v", test, got, err)
		}
	}
}

func TestSettle(t *testing.T) {
	h := &history{}
	h.begin(10, now)
	if got := h.settle(10, 4, 0, 5*time.Minute, now.Add(time.Minute)); got != 10 {
		t.Errorf("fewer at once: %d", got)
	}
	if got := h.settle(10, 12, 0, 5*time.Minute, now.Add(2*time.Minute)); got != 12 {
		t.Errorf("more at once: %d", got)
	}
	if got := h.settle(12, 4, 0, 5*time.Minute, now.Add(6*time.Minute)); got != 12 {
		t.Errorf("held by what was recommended 4 minutes before: %d", got)
	}
	if got := h.settle(12, 4, 0, 5*time.Minute, now.Add(8*time.Minute)); got != 4 {
		t.Errorf("nothing holds any more: %d", got)
	}
	if got := h.settle(4, 9, 3*time.Minute, 0, now.Add(9*time.Minute)); got != 4 {
		t.Errorf("more is held, too: %d", got)
	}
	if n := len(h.recommended); n > 4 {
		t.Errorf("%d recommendations are kept", n)
	}
}

func TestPlainly(t *testing.T) {
	for _, test := range []struct {
		current, desired, least, most, want int32
		reason                              string
	}{
		{3, 5, 1, 10, 5, "DesiredWithinRange"}, {3, 50, 1, 10, 6, "ScaleUpLimit"}, {8, 50, 1, 10, 10, "TooManyReplicas"},
		{1, 50, 1, 100, 4, "ScaleUpLimit"}, {3, 0, 2, 10, 2, "TooFewReplicas"}, {math.MaxInt32, math.MaxInt32, 1, math.MaxInt32, math.MaxInt32, "DesiredWithinRange"},
	} {
		if got := plainly(test.current, test.desired, test.least, test.most); got.replicas != test.want || got.reason != test.reason {
			t.Errorf("%+v: %+v", test, got)
		}
	}
}

func TestByBehavior(t *testing.T) {
	rules := func(how autoscalingv2.ScalingPolicySelect, policies ...autoscalingv2.HPAScalingPolicy) *autoscalingv2.HPAScalingRules {
		return &autoscalingv2.HPAScalingRules{SelectPolicy: &how, Policies: policies}
	}
	pods := func(n int32) autoscalingv2.HPAScalingPolicy {
		return autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: n, PeriodSeconds: 60}
	}
	percent := func(n int32) autoscalingv2.HPAScalingPolicy {
		return autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: n, PeriodSeconds: 60}
	}
	for _, test := range []struct {
		name             string
		current, desired int32
		up, down         *autoscalingv2.HPAScalingRules
		history          history
		want             int32
		reason           string
	}{
		{"by pods", 10, 50, rules("Max", pods(4)), nil, history{}, 14, "ScaleUpLimit"},
		{"by percent", 10, 50, rules("Max", percent(50)), nil, history{}, 15, "ScaleUpLimit"},
		{"the most", 10, 50, rules("Max", pods(4), percent(50)), nil, history{}, 15, "ScaleUpLimit"},
		{"the least", 10, 50, rules("Min", pods(4), percent(50)), nil, history{}, 14, "ScaleUpLimit"},
		{"not at all", 10, 50, rules("Disabled", pods(4)), nil, history{}, 10, "ScaleUpLimit"},
		{"some was done already", 13, 50, rules("Max", pods(4)), nil, history{ups: []entry{{now.Add(-30 * time.Second), 3}}}, 14, "ScaleUpLimit"},
		{"that was long ago", 13, 50, rules("Max", pods(4)), nil, history{ups: []entry{{now.Add(-90 * time.Second), 3}}}, 17, "ScaleUpLimit"},
		{"the maximum", 98, 200, rules("Max", pods(4)), nil, history{}, 100, "TooManyReplicas"},
		{"fewer by pods", 10, 2, nil, rules("Max", pods(4)), history{}, 6, "ScaleDownLimit"},
		{"fewer by percent", 10, 2, nil, rules("Max", percent(50)), history{}, 5, "ScaleDownLimit"},
		{"fewer, the least", 10, 2, nil, rules("Min", pods(4), percent(50)), history{}, 6, "ScaleDownLimit"},
		{"fewer, not at all", 10, 2, nil, rules("Disabled", pods(4)), history{}, 10, "ScaleDownLimit"},
		{"the minimum", 3, 0, nil, rules("Max", percent(100)), history{}, 1, "TooFewReplicas"},
		{"within", 10, 12, rules("Max", pods(4)), nil, history{}, 12, "DesiredWithinRange"},
	} {
		got := byBehavior(test.current, test.desired, 1, 100, &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: test.up, ScaleDown: test.down}, &test.history, now)
		if got.replicas != test.want || got.reason != test.reason {
			t.Errorf("%s: %+v, want %d by %s", test.name, got, test.want, test.reason)
		}
	}
}

func TestSelectors(t *testing.T) {
	s := newSelectors()
	put := func(name, selector string) {
		t.Helper()
		parsed, err := labels.Parse(selector)
		if err != nil {
			t.Fatal(err)
		}
		s.put(cache.ObjectName{Namespace: "ns", Name: name}, parsed)
	}
	web := []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web", "tier": "front"}}}}
	is := func(want ...claimant) {
		t.Helper()
		got := s.others(cache.ObjectName{Namespace: "ns", Name: "web"}, web)
		if len(got) != len(want) || len(want) > 0 && got[1] != want[1] {
			t.Errorf("rivals %v, want %v", got, want)
		}
	}
	put("web", "app=web")
	put("db", "app=db")
	is()
	put("front", "tier in (front,back)")
	is(claimant{"web", "ns"}, claimant{"front", "ns"})
	put("front", "app=db")
	is()
	put("front", "app=web,tier=front")
	is(claimant{"web", "ns"}, claimant{"front", "ns"})
	s.delete(cache.ObjectName{Namespace: "ns", Name: "front"})
	is()
	if len(s.of) != 2 || len(s.byPair) != 2 {
		t.Errorf("%d selectors by %d labels", len(s.of), len(s.byPair))
	}
}

func TestTolerance(t *testing.T) {
	l := &look{controller: &controller{Options: Options{Tolerance: 0.1}}, hpa: &autoscalingv2.HorizontalPodAutoscaler{}}
	if got := l.tolerance(); got != tenth {
		t.Errorf("%+v", got)
	}
	l.hpa.Spec.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: &autoscalingv2.HPAScalingRules{Tolerance: ptr.To(resource.MustParse("0.25"))}, ScaleDown: &autoscalingv2.HPAScalingRules{}}
	if got := l.tolerance(); got != (tolerance{0.1, 0.25}) {
		t.Errorf("%+v", got)
	}
}
