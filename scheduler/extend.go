package scheduler

import (
	"context"
	"errors"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"github.com/howdah/howdah/scheduler/extender"
	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
)

// interested are the extenders that are to be asked about a pod.
func (s *Scheduler) interested(pod *corev1.Pod) []*extender.Extender {
	var list []*extender.Extender
	for _, e := range s.options.Extenders {
		if e.Interested(pod) {
			list = append(list, e)
		}
	}
	return list
}

// extend lets extenders refuse and score the nodes of a choice, and chooses
// again. The lock is held before and after, but not while they are asked: the
// cluster may have changed.
func (s *Scheduler) extend(ctx context.Context, a *attempt, extenders []*extender.Extender, choice placement.Choice) (placement.Choice, *placement.Diagnosis) {
	pod := a.item.Pod
	var nodes []*corev1.Node
	scores := map[string]int64{}
	for _, node := range choice.Scores {
		nodes = append(nodes, s.cluster.Node(node.Node).Obj)
		scores[node.Node] = node.Score
	}
	happened := s.happened
	s.mu.Unlock()
	left, refused, err := filterExtended(ctx, extenders, pod.Obj, nodes)
	if err == nil {
		s.scoreExtended(ctx, extenders, pod.Obj, left, scores)
	}
	s.lock()
	a.missed = happened != s.happened
	if err != nil {
		return choice, placement.Refused(&placement.Status{Err: err})
	}
	if len(left) == 0 {
		return choice, a.profile.placer.Override(pod, refused)
	}
	choice.Node = ""
	for _, node := range left {
		if choice.Node == "" || scores[node.Name] > scores[choice.Node] {
			choice.Node = node.Name
		}
	}
	if status := a.profile.placer.Fits(pod, choice.Node); status != nil {
		return choice, placement.Refused(&placement.Status{Err: errors.New("the node was taken while extenders were asked")})
	}
	return choice, nil
}

// filterExtended returns the nodes that all extenders leave, and why they refuse
// the others.
func filterExtended(ctx context.Context, extenders []*extender.Extender, pod *corev1.Pod, nodes []*corev1.Node) ([]*corev1.Node, map[string]*placement.Status, error) {
	refused := map[string]*placement.Status{}
	for _, e := range extenders {
		if len(nodes) == 0 {
			break
		}
		names, refusals, err := e.Filter(ctx, pod, nodes)
		if err != nil {
			if e.Ignorable {
				continue
			}
			return nil, nil, err
		}
		for name, reason := range refusals.Resolvable {
			refused[name] = &placement.Status{Plugin: placement.Extender, Reasons: []string{reason}}
		}
		for name, reason := range refusals.Unresolvable {
			refused[name] = &placement.Status{Plugin: placement.Extender, Unresolvable: true, Reasons: []string{reason}}
		}
		left := nodes[:0:0]
		for _, node := range nodes {
			if slices.Contains(names, node.Name) {
				left = append(left, node)
			} else if refused[node.Name] == nil {
				refused[node.Name] = &placement.Status{Plugin: placement.Extender}
			}
		}
		nodes = left
	}
	return nodes, refused, nil
}

// scoreExtended adds what extenders say; one that can't be asked says nothing.
func (s *Scheduler) scoreExtended(ctx context.Context, extenders []*extender.Extender, pod *corev1.Pod, nodes []*corev1.Node, scores map[string]int64) {
	for _, e := range extenders {
		given, err := e.Prioritize(ctx, pod, nodes)
		if err != nil {
			s.log.Debug("an extender gave no scores", "extender", e.URLPrefix, "err", err)
			continue
		}
		for node, score := range given {
			scores[node] += score
		}
	}
}

// preemptExtended lets extenders choose among candidates and change victims. The
// lock is held before and after, but not while they are asked.
func (s *Scheduler) preemptExtended(ctx context.Context, pod *state.Pod, candidates []placement.Victims) ([]placement.Victims, error) {
	victims := map[string]*extenderv1.Victims{}
	for _, c := range candidates {
		v := &extenderv1.Victims{NumPDBViolations: int64(c.Violations)}
		for _, victim := range c.Pods {
			v.Pods = append(v.Pods, victim.Obj)
		}
		victims[c.Node] = v
	}
	asked := false
	for _, e := range s.interested(pod.Obj) {
		if e.PreemptVerb == "" || len(victims) == 0 {
			continue
		}
		asked = true
		s.mu.Unlock()
		answer, err := e.Preempt(ctx, pod.Obj, victims)
		s.lock()
		if err != nil {
			if e.Ignorable {
				continue
			}
			return nil, err
		}
		victims = map[string]*extenderv1.Victims{}
		for name, meta := range answer {
			v := s.victimsOf(name, meta)
			switch {
			case v != nil:
				victims[name] = v
			case !e.Ignorable:
				return nil, errors.New("extender " + e.URLPrefix + " names no victims, or pods that are not there, on node " + name)
			}
		}
	}
	if !asked {
		return candidates, nil
	}
	var chosen []placement.Victims
	for _, name := range slices.Sorted(maps.Keys(victims)) {
		c := placement.Victims{Node: name, Violations: int(victims[name].NumPDBViolations)}
		for _, victim := range victims[name].Pods {
			if there, _ := s.cluster.Pod(victim.UID); there != nil {
				c.Pods = append(c.Pods, there)
			}
		}
		if len(c.Pods) > 0 {
			chosen = append(chosen, c)
		}
	}
	return chosen, nil
}

// victimsOf finds pods by UID; nil: there are none, or not all are on the node.
func (s *Scheduler) victimsOf(node string, meta *extenderv1.MetaVictims) *extenderv1.Victims {
	if meta == nil || len(meta.Pods) == 0 {
		return nil
	}
	v := &extenderv1.Victims{NumPDBViolations: meta.NumPDBViolations}
	for _, one := range meta.Pods {
		pod, on := s.cluster.Pod(types.UID(one.UID))
		if pod == nil || on != node {
			return nil
		}
		v.Pods = append(v.Pods, pod.Obj)
	}
	return v
}
