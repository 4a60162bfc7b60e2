package placement

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/howdah/howdah/scheduler/state"
)

// What a pod on a node counts for in a pair of topology key and value.
const (
	existing = iota // pods there that refuse the incoming pod
	affine          // pods there that the incoming pod requires
	adverse         // pods there that the incoming pod refuses
	liking          // preferences, summed with their weights
	purposes
)

// pairs counts pods by topology key and value for InterPodAffinity.
type pairs struct {
	incoming  *state.Pod
	namespace labels.Set // labels of the incoming pod's namespace
	config    *profile

	// The incoming pod's terms, their namespace selectors resolved.
	requires, refuses, likes, dislikes []state.Term

	keys   map[string]int
	pairOf [][]int32 // by key and node: the pair, or -1 without the label
	ids    map[[2]string]int32
	counts [purposes][]int64 // by pair
	keyed  [purposes][]int64 // by key: how many gifts there are
	given  [][]gift          // by node: what it contributed
	all    bool              // all pods count for scores, not only those that say something of others
}

// A gift is what a pod on a node adds to a count, or (sign -1) took with it.
type gift struct {
	purpose, key int
	pair         int32
	n, sign      int64
}

func newPairs(config *profile, pod *state.Pod, cluster *state.Cluster) *pairs {
	p := &pairs{incoming: pod, config: config, namespace: cluster.Namespace(pod.Obj.Namespace), keys: map[string]int{}, ids: map[[2]string]int32{}}
	p.requires, p.refuses = resolve(pod.RequiredAffinity, cluster), resolve(pod.RequiredAntiAffinity, cluster)
	p.likes, p.dislikes = resolve(pod.PreferredAffinity, cluster), resolve(pod.PreferredAntiAffinity, cluster)
	p.all = len(p.likes)+len(p.dislikes) > 0
	return p
}

// resolve replaces the selectors of namespaces by the namespaces they select.
func resolve(terms []state.Term, cluster *state.Cluster) []state.Term {
	resolved := slices.Clone(terms)
	for i := range resolved {
		t := &resolved[i]
		if t.NamespaceSelector.Empty() {
			continue // all of them
		}
		t.Namespaces = slices.Clone(t.Namespaces)
		selector := t.NamespaceSelector
		cluster.Namespaces(func(name string, set labels.Set) {
			if selector.Matches(set) {
				t.Namespaces = append(t.Namespaces, name)
			}
		})
		t.NamespaceSelector = labels.Nothing()
	}
	return resolved
}

func (p *pairs) key(name string, nodes []*state.Node) int {
	key, ok := p.keys[name]
	if !ok {
		key = len(p.pairOf)
		p.keys[name] = key
		p.pairOf = append(p.pairOf, make([]int32, len(nodes)))
		for purpose := range p.keyed {
			p.keyed[purpose] = append(p.keyed[purpose], 0)
		}
		for i, node := range nodes {
			p.pairOf[key][i] = p.pair(name, node)
		}
	}
	return key
}

func (p *pairs) pair(key string, node *state.Node) int32 {
	value, ok := node.Obj.Labels[key]
	if !ok {
		return -1
	}
	id, ok := p.ids[[2]string{key, value}]
	if !ok {
		id = int32(len(p.ids))
		p.ids[[2]string{key, value}] = id
		for purpose := range p.counts {
			p.counts[purpose] = append(p.counts[purpose], 0)
		}
	}
	return id
}

// set counts a node anew. node is what to count, which may be a what-if of the
// one in nodes.
func (p *pairs) set(index int, node *state.Node, nodes []*state.Node) {
	for len(p.given) <= index {
		p.given = append(p.given, nil)
	}
	for i := range p.requires {
		p.key(p.requires[i].TopologyKey, nodes) // also where no pod matches, the label is required
	}
	for name, key := range p.keys {
		for len(p.pairOf[key]) <= index {
			p.pairOf[key] = append(p.pairOf[key], -1)
		}
		p.pairOf[key][index] = p.pair(name, node)
	}
	for _, g := range p.given[index] {
		p.count(g, -1)
	}
	p.given[index] = p.given[index][:0]
	pods := node.WithAffinity
	if p.all || len(p.requires)+len(p.refuses) > 0 {
		pods = node.Pods
	}
	for _, pod := range pods {
		p.consider(index, pod, 1, nodes)
	}
}

// consider adds what a pod on a node counts for, sign times.
func (p *pairs) consider(index int, pod *state.Pod, sign int64, nodes []*state.Node) {
	give := func(purpose int, topologyKey string, n int64) {
		key := p.key(topologyKey, nodes)
		if pair := p.pairOf[key][index]; pair >= 0 && n != 0 {
			g := gift{purpose, key, pair, n, sign}
			p.count(g, 1)
			p.given[index] = append(p.given[index], g)
		}
	}
	for i := range pod.RequiredAntiAffinity {
		if t := &pod.RequiredAntiAffinity[i]; t.Matches(p.incoming.Obj, p.namespace) {
			give(existing, t.TopologyKey, 1)
		}
	}
	if matchesAll(p.requires, pod) {
		for i := range p.requires {
			give(affine, p.requires[i].TopologyKey, 1)
		}
	}
	for i := range p.refuses {
		if p.refuses[i].Matches(pod.Obj, nil) {
			give(adverse, p.refuses[i].TopologyKey, 1)
		}
	}
	if p.config.weights[InterPodAffinity] == 0 || !p.all && (p.config.IgnorePreferredTermsOfExistingPods || !pod.HasAffinity()) {
		return
	}
	for i := range p.likes {
		if t := &p.likes[i]; t.Matches(pod.Obj, nil) {
			give(liking, t.TopologyKey, t.Weight)
		}
	}
	for i := range p.dislikes {
		if t := &p.dislikes[i]; t.Matches(pod.Obj, nil) {
			give(liking, t.TopologyKey, -t.Weight)
		}
	}
	if hard := p.config.HardPodAffinityWeight; hard > 0 {
		for i := range pod.RequiredAffinity {
			if t := &pod.RequiredAffinity[i]; t.Matches(p.incoming.Obj, p.namespace) {
				give(liking, t.TopologyKey, hard)
			}
		}
	}
	for i := range pod.PreferredAffinity {
		if t := &pod.PreferredAffinity[i]; t.Matches(p.incoming.Obj, p.namespace) {
			give(liking, t.TopologyKey, t.Weight)
		}
	}
	for i := range pod.PreferredAntiAffinity {
		if t := &pod.PreferredAntiAffinity[i]; t.Matches(p.incoming.Obj, p.namespace) {
			give(liking, t.TopologyKey, -t.Weight)
		}
	}
}

func (p *pairs) count(g gift, times int64) {
	p.counts[g.purpose][g.pair] += times * g.sign * g.n
	p.keyed[g.purpose][g.key] += times * g.sign
}

// change counts a pod that came to a node or went.
func (p *pairs) change(index int, pod *state.Pod, sign int, nodes []*state.Node) {
	if !p.all && len(p.requires)+len(p.refuses) == 0 && !pod.HasAffinity() {
		return
	}
	if len(p.given[index]) > 256 {
		p.set(index, nodes[index], nodes) // don't let the notes grow for ever
		return
	}
	p.consider(index, pod, int64(sign), nodes)
}

// matchesAll tells whether all the terms speak of a pod; no terms speak of none.
func matchesAll(terms []state.Term, pod *state.Pod) bool {
	for i := range terms {
		if !terms[i].Matches(pod.Obj, nil) {
			return false
		}
	}
	return len(terms) > 0
}

// silent tells whether nothing is required: neither does the incoming pod
// require or refuse others, nor do any that run refuse it.
func (p *pairs) silent() bool {
	for _, n := range p.keyed[existing] {
		if n > 0 {
			return false
		}
	}
	return len(p.requires)+len(p.refuses) == 0
}

const (
	refusesAffinity = "node(s) didn't match pod affinity rules"
	refusesAnti     = "node(s) didn't match pod anti-affinity rules"
	refusesExisting = "node(s) didn't satisfy existing pods anti-affinity rules"
)

// filter returns why InterPodAffinity refuses a node, or "".
func (p *pairs) filter(index int) string {
	if !p.affinitySatisfied(index) {
		return refusesAffinity
	}
	for i := range p.refuses {
		key, ok := p.keys[p.refuses[i].TopologyKey]
		if !ok {
			continue
		}
		if pair := p.pairOf[key][index]; pair >= 0 && p.counts[adverse][pair] > 0 {
			return refusesAnti
		}
	}
	for key, n := range p.keyed[existing] {
		if n <= 0 {
			continue
		}
		if pair := p.pairOf[key][index]; pair >= 0 && p.counts[existing][pair] > 0 {
			return refusesExisting
		}
	}
	return ""
}

// affinitySatisfied: the node has all labels, and pods that match are in each
// domain; or no pod matches anywhere and the first of its kind may go anywhere.
func (p *pairs) affinitySatisfied(index int) bool {
	exist := true
	for i := range p.requires {
		pair := p.pairOf[p.keys[p.requires[i].TopologyKey]][index]
		if pair < 0 {
			return false
		}
		exist = exist && p.counts[affine][pair] > 0
	}
	if exist {
		return true
	}
	for _, n := range p.keyed[affine] {
		if n > 0 {
			return false
		}
	}
	return matchesAll(p.requires, p.incoming)
}

// scores are InterPodAffinity's for the feasible nodes; nil: none are better
// than others.
func (p *pairs) scores(feasible []int32) []int64 {
	var keys []int
	for key, n := range p.keyed[liking] {
		if n != 0 {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	scores := make([]int64, len(feasible))
	for i, index := range feasible {
		for _, key := range keys {
			if pair := p.pairOf[key][index]; pair >= 0 {
				scores[i] += p.counts[liking][pair]
			}
		}
	}
	least, most := slices.Min(scores), slices.Max(scores)
	for i, score := range scores {
		scores[i] = 0
		if most > least {
			scores[i] = int64(maxScore * (float64(score-least) / float64(most-least)))
		}
	}
	return scores
}
