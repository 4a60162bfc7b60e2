package autoscaling

import (
	"cmp"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"
)

// selectors tell whose pods a pod is, of all autoscalers. A selector is found by
// one label that it asks for, so that few of many are tried.
type selectors struct {
	mu     sync.Mutex
	of     map[cache.ObjectName]labels.Selector
	byPair map[pair]map[cache.ObjectName]bool
}

// A pair is a label in a namespace; without a label, of selectors that ask for
// none in particular.
type pair struct{ namespace, label, value string }

func newSelectors() *selectors {
	return &selectors{of: map[cache.ObjectName]labels.Selector{}, byPair: map[pair]map[cache.ObjectName]bool{}}
}

func (s *selectors) put(hpa cache.ObjectName, selector labels.Selector) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if had, ok := s.of[hpa]; ok && had.String() == selector.String() {
		return
	}
	s.remove(hpa)
	s.of[hpa] = selector
	p := pairOf(hpa.Namespace, selector)
	if s.byPair[p] == nil {
		s.byPair[p] = map[cache.ObjectName]bool{}
	}
	s.byPair[p][hpa] = true
}

func (s *selectors) delete(hpa cache.ObjectName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(hpa)
}

func (s *selectors) remove(hpa cache.ObjectName) {
	selector, ok := s.of[hpa]
	if !ok {
		return
	}
	delete(s.of, hpa)
	p := pairOf(hpa.Namespace, selector)
	delete(s.byPair[p], hpa)
	if len(s.byPair[p]) == 0 {
		delete(s.byPair, p)
	}
}

func pairOf(namespace string, selector labels.Selector) pair {
	requirements, _ := selector.Requirements()
	for _, r := range requirements {
		if value, only := selector.RequiresExactMatch(r.Key()); only {
			return pair{namespace, r.Key(), value}
		}
	}
	return pair{namespace: namespace}
}

// A claimant is an autoscaler in the form in which conditions name it.
type claimant struct{ Name, Namespace string }

// others are up to two autoscalers that select some of the pods, if they are more
// than the one.
func (s *selectors) others(hpa cache.ObjectName, pods []*corev1.Pod) []claimant {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[cache.ObjectName]bool{}
	for _, pod := range pods {
		try := func(p pair) {
			for other := range s.byPair[p] {
				if other != hpa && !found[other] && s.of[other].Matches(labels.Set(pod.Labels)) {
					found[other] = true
				}
			}
		}
		try(pair{namespace: hpa.Namespace})
		for label, value := range pod.Labels {
			try(pair{hpa.Namespace, label, value})
		}
		if len(found) > 0 {
			break
		}
	}
	if len(found) == 0 {
		return nil
	}
	claimants := []claimant{{hpa.Name, hpa.Namespace}}
	for other := range found {
		claimants = append(claimants, claimant{other.Name, other.Namespace})
	}
	slices.SortFunc(claimants[1:], func(a, b claimant) int { return cmp.Compare(a.Name, b.Name) })
	return claimants[:2]
}
