package placement

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/howdah/howdah/scheduler/state"
)

// A spread is one topology spread constraint with its counts.
type spread struct {
	key             string
	maxSkew         int64
	minDomains      int
	selector        labels.Selector
	empty           bool // the selector selects nothing here, upstream's reading of {}
	selfMatch       bool
	affinity, taint corev1.NodeInclusionPolicy

	names   map[string]int32 // domains by the label's value
	domain  []int32          // of each node; that of "" without the label
	labeled []bool           // whether the node has the label
	counted []bool           // whether the node counts at all
	pods    []int64          // matching pods on each node, whether it counts or not
	total   []int64          // of matching pods on the nodes that count, by domain
	members []int64          // nodes that count, by domain
}

// newSpreads reads the constraints of one kind.
func newSpreads(pod *state.Pod, constraints []corev1.TopologySpreadConstraint, action corev1.UnsatisfiableConstraintAction, selector labels.Selector) ([]*spread, error) {
	var spreads []*spread
	for i := range constraints {
		c := &constraints[i]
		if c.WhenUnsatisfiable != action {
			continue
		}
		s := &spread{
			key: c.TopologyKey, maxSkew: int64(c.MaxSkew), minDomains: 1, selector: selector,
			affinity: corev1.NodeInclusionPolicyHonor, taint: corev1.NodeInclusionPolicyIgnore, names: map[string]int32{},
		}
		if c.MinDomains != nil {
			s.minDomains = int(*c.MinDomains)
		}
		if c.NodeAffinityPolicy != nil {
			s.affinity = *c.NodeAffinityPolicy
		}
		if c.NodeTaintsPolicy != nil {
			s.taint = *c.NodeTaintsPolicy
		}
		if selector == nil {
			var err error
			if s.selector, err = constraintSelector(c, pod.Obj.Labels); err != nil {
				return nil, err
			}
		}
		s.empty = s.selector.Empty()
		s.selfMatch = s.selector.Matches(labels.Set(pod.Obj.Labels))
		spreads = append(spreads, s)
	}
	return spreads, nil
}

// constraintSelector adds the pod's own values of matchLabelKeys.
func constraintSelector(c *corev1.TopologySpreadConstraint, own map[string]string) (labels.Selector, error) {
	selector, err := metav1.LabelSelectorAsSelector(c.LabelSelector)
	if err != nil {
		return nil, err
	}
	same := labels.Set{}
	for _, key := range c.MatchLabelKeys {
		if value, ok := own[key]; ok {
			same[key] = value
		}
	}
	requirements, selectable := selector.Requirements()
	if len(same) == 0 || !selectable {
		return selector, nil
	}
	return labels.SelectorFromSet(same).Add(requirements...), nil
}

// includes tells whether the constraint's policies let a node count.
func (s *spread) includes(r *rules, node *state.Node) bool {
	if s.affinity == corev1.NodeInclusionPolicyHonor && r.requires {
		if matches, _ := r.required.Match(node.Obj); !matches {
			return false
		}
	}
	return s.taint != corev1.NodeInclusionPolicyHonor || tolerated(node.Obj.Spec.Taints, r.tolerations)
}

func (s *spread) matches(pod *state.Pod, namespace string) bool {
	return !s.empty && pod.Obj.Namespace == namespace && pod.Obj.DeletionTimestamp == nil && s.selector.Matches(labels.Set(pod.Obj.Labels))
}

// set counts a node anew. all: it counts only if it has the labels of all
// constraints.
func (s *spread) set(r *rules, namespace string, index int, node *state.Node, all bool) {
	for len(s.domain) <= index {
		s.domain, s.labeled, s.counted, s.pods = append(s.domain, -1), append(s.labeled, false), append(s.counted, false), append(s.pods, 0)
	}
	s.clear(index)
	value, labeled := node.Obj.Labels[s.key]
	s.domain[index], s.labeled[index] = s.name(value), labeled
	s.counted[index] = all && s.includes(r, node)
	for _, pod := range node.Pods {
		if s.matches(pod, namespace) {
			s.pods[index]++
		}
	}
	if s.counted[index] {
		s.total[s.domain[index]] += s.pods[index]
		s.members[s.domain[index]]++
	}
}

func (s *spread) clear(index int) {
	if s.counted[index] {
		s.total[s.domain[index]] -= s.pods[index]
		s.members[s.domain[index]]--
	}
	s.counted[index], s.pods[index] = false, 0
}

// change counts a pod that came to a node or went.
func (s *spread) change(namespace string, index int, pod *state.Pod, sign int) {
	if s.matches(pod, namespace) {
		s.pods[index] += int64(sign)
		if s.counted[index] {
			s.total[s.domain[index]] += int64(sign)
		}
	}
}

func (s *spread) name(value string) int32 {
	domain, ok := s.names[value]
	if !ok {
		domain = int32(len(s.total))
		s.names[value] = domain
		s.total, s.members = append(s.total, 0), append(s.members, 0)
	}
	return domain
}

// least is the number of matching pods in the domain that has fewest; nothing
// when there are fewer domains than there should be.
func (s *spread) least() int64 {
	least, domains := int64(math.MaxInt64), 0
	for domain, members := range s.members {
		if members > 0 {
			domains++
			least = min(least, s.total[domain])
		}
	}
	if domains < s.minDomains {
		return 0
	}
	return least
}

// skewed tells whether the pod would make the domain of a node too full.
func (s *spread) skewed(index int, least int64) bool {
	matching := s.total[s.domain[index]]
	if s.selfMatch {
		matching++
	}
	return matching-least > s.maxSkew
}
