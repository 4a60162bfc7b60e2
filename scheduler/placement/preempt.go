package placement

import (
	"fmt"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/howdah/howdah/scheduler/state"
)

// Victims are the pods to remove from a node to make room there.
type Victims struct {
	Node       string
	Pods       []*state.Pod // the most important first
	Violations int          // how many of them a disruption budget protects
}

// String says what is going to happen; kube-scheduler's text.
func (v Victims) String() string {
	return fmt.Sprintf("found a potential placement for pod on node %s, preempting %d victims", v.Node, len(v.Pods))
}

// Preemption is what there is to do for a pod that no node takes.
type Preemption struct {
	Candidates []Victims
	// Message says why there are none; kube-scheduler's text.
	Message string
	// Ineligible: the pod may not preempt, so nothing was looked for.
	Ineligible bool
}

// Preempt looks for nodes that would take the pod if pods of lower priority
// went, and for the fewest and least important of those, as
// https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
// describes. The diagnosis is the one that [Placer.Find] returned for the same
// state; now stands for the start of pods that have none.
func (p *Placer) Preempt(pod *state.Pod, diagnosis *Diagnosis, budgets []*policyv1.PodDisruptionBudget, now time.Time) Preemption {
	if reason := p.ineligible(pod, diagnosis); reason != "" {
		return Preemption{Message: reason, Ineligible: true}
	}
	nodes := p.cluster.Nodes()
	unhelpful := &Diagnosis{
		Nodes: make([]*Status, len(nodes)), count: len(nodes),
		Rest: &Status{Unresolvable: true, Reasons: []string{"Preemption is not helpful for scheduling"}},
	}
	var potential []*state.Node
	for i, node := range nodes {
		if status := diagnosis.of(i); status != nil && !status.Unresolvable && status.Err == nil {
			potential = append(potential, node)
		}
	}
	if len(potential) == 0 {
		return Preemption{Message: unhelpful.String()}
	}
	d, status := p.prepare(pod)
	if status != nil {
		return Preemption{Message: unhelpful.String()}
	}
	enough := max(len(potential)*p.profile.MinCandidateNodesPercentage/100, p.profile.MinCandidateNodesAbsolute)
	offset := p.random.IntN(len(potential))
	var clean, violating []Victims
	for i := range potential {
		node := potential[(offset+i)%len(potential)]
		victims, status := d.victims(node, budgets, now)
		switch {
		case status != nil:
			unhelpful.Nodes[node.Index()] = status
		case victims.Violations == 0:
			clean = append(clean, victims)
		default:
			violating = append(violating, victims)
		}
		if len(clean) > 0 && len(clean)+len(violating) >= enough {
			break
		}
	}
	if len(clean)+len(violating) == 0 {
		return Preemption{Message: unhelpful.String()}
	}
	return Preemption{Candidates: append(clean, violating...)}
}

// ineligible says why a pod may not preempt others, or "".
func (p *Placer) ineligible(pod *state.Pod, diagnosis *Diagnosis) string {
	if policy := pod.Obj.Spec.PreemptionPolicy; policy != nil && *policy == corev1.PreemptNever {
		return "not eligible due to preemptionPolicy=Never."
	}
	nominated := p.cluster.Node(pod.Obj.Status.NominatedNodeName)
	if nominated == nil {
		return ""
	}
	if status := diagnosis.of(nominated.Index()); status == nil || status.Unresolvable {
		return ""
	}
	for _, other := range nominated.Pods {
		if other.Priority < pod.Priority && leavingForPreemption(other.Obj) {
			return "not eligible due to a terminating pod on the nominated node."
		}
	}
	return ""
}

func leavingForPreemption(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp == nil {
		return false
	}
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.DisruptionTarget {
			return c.Status == corev1.ConditionTrue && c.Reason == corev1.PodReasonPreemptionByScheduler
		}
	}
	return false
}

// victims removes all pods of lower priority and puts back, the most important
// first, those with which the pod still fits. Pods that a budget protects are
// tried first.
func (d *decision) victims(node *state.Node, budgets []*policyv1.PodDisruptionBudget, now time.Time) (Victims, *Status) {
	var lower []*state.Pod
	for _, pod := range node.Pods {
		if pod.Priority < d.pod.Priority {
			lower = append(lower, pod)
		}
	}
	if len(lower) == 0 {
		return Victims{}, &Status{Unresolvable: true, Reasons: []string{"No preemption victims found for incoming pod"}}
	}
	emptied := node.Clone()
	for _, pod := range lower {
		emptied.Remove(pod.UID())
	}
	if status := d.checkEmptied(emptied); status != nil {
		return Victims{}, status
	}
	slices.SortStableFunc(lower, func(a, b *state.Pod) int { return moreImportant(a, b, now) })
	protected, free := protect(lower, budgets)
	out := Victims{Node: node.Name()}
	reprieve := func(pod *state.Pod) bool {
		emptied.Add(pod)
		if d.checkEmptied(emptied) == nil {
			return true
		}
		emptied.Remove(pod.UID())
		out.Pods = append(out.Pods, pod)
		return false
	}
	for _, pod := range protected {
		if !reprieve(pod) {
			out.Violations++
		}
	}
	for _, pod := range free {
		reprieve(pod)
	}
	if len(out.Pods) == 0 {
		return Victims{}, &Status{Err: fmt.Errorf("expected at least one victim pod on node %q", node.Name())}
	}
	slices.SortStableFunc(out.Pods, func(a, b *state.Pod) int { return moreImportant(a, b, now) })
	return out, nil
}

// checkEmptied is check for a node with pods removed.
func (d *decision) checkEmptied(node *state.Node) *Status {
	if status := d.checkCrowded(node); status != nil {
		return status
	}
	return d.checkWhatIf(node)
}

// moreImportant orders by priority, then by who started first.
func moreImportant(a, b *state.Pod, now time.Time) int {
	if a.Priority != b.Priority {
		return int(b.Priority) - int(a.Priority)
	}
	return started(a, now).Compare(started(b, now))
}

func started(pod *state.Pod, now time.Time) time.Time {
	if start := pod.Obj.Status.StartTime; start != nil {
		return start.Time
	}
	return now
}

// Pick returns the candidate that does least harm: fewest violated budgets,
// then the least important victims, then the fewest, then the youngest.
func Pick(candidates []Victims, now time.Time) Victims {
	criteria := []func(*Victims) int64{
		func(v *Victims) int64 { return -int64(v.Violations) },
		func(v *Victims) int64 { return -int64(v.Pods[0].Priority) },
		func(v *Victims) int64 {
			var sum int64
			for _, pod := range v.Pods {
				sum += int64(pod.Priority) + math.MaxInt32 + 1
			}
			return -sum
		},
		func(v *Victims) int64 { return -int64(len(v.Pods)) },
		func(v *Victims) int64 { return earliest(v.Pods, now).UnixNano() },
	}
	left := make([]*Victims, len(candidates))
	for i := range candidates {
		left[i] = &candidates[i]
	}
	for _, criterion := range criteria {
		best := int64(math.MinInt64)
		var equals []*Victims
		for _, v := range left {
			score := criterion(v)
			if score > best {
				best, equals = score, nil
			}
			if score == best {
				equals = append(equals, v)
			}
		}
		left = equals
	}
	return *left[0]
}

// earliest is the first start among the most important pods.
func earliest(pods []*state.Pod, now time.Time) time.Time {
	first := started(pods[0], now)
	for _, pod := range pods {
		if pod.Priority == pods[0].Priority && started(pod, now).Before(first) {
			first = started(pod, now)
		}
	}
	return first
}
