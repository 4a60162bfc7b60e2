package placement

import (
	"fmt"
	"maps"
	"slices"

	"github.com/howdah/howdah/scheduler/state"
)

// A Choice is where a pod can go.
type Choice struct {
	Node      string
	Evaluated int // nodes looked at
	Feasible  int
	// Scores are the feasible nodes with their sums of scores, in no order; only
	// if asked for.
	Scores []NodeScore

	prepared []ready
}

// Reserve lets the plugins take what the pod needs on the chosen node besides
// room. What they took is returned also with a status, to be given back.
func (c *Choice) Reserve(node string) ([]Taken, *Status) {
	var taken []Taken
	for i := range c.prepared {
		reserver, ok := c.prepared[i].Prepared.(Reserver)
		if !ok {
			continue
		}
		reservation, status := reserver.Reserve(node)
		if status != nil {
			status.Plugin = c.prepared[i].name
			return taken, status
		}
		if reservation != nil {
			taken = append(taken, Taken{c.prepared[i].name, reservation})
		}
	}
	return taken, nil
}

// A NodeScore is a node's sum of weighted scores.
type NodeScore struct {
	Node  string
	Score int64
}

// Find chooses the node for a pod: one with the best sum of scores among those
// that no filter refuses. Without a choice the diagnosis says why.
func (p *Placer) Find(pod *state.Pod) (Choice, *Diagnosis) {
	d, feasible, scores, evaluated, diagnosis := p.feasible(pod)
	if diagnosis != nil {
		return Choice{}, diagnosis
	}
	best := p.best(scores)
	return Choice{Node: p.cluster.Nodes()[feasible[best]].Name(), Evaluated: evaluated, Feasible: len(feasible), prepared: d.prepared}, nil
}

// Rank is Find, but leaves the choice to the caller, who may know of more
// filters and scores: it returns all scores.
func (p *Placer) Rank(pod *state.Pod) (Choice, *Diagnosis) {
	d, feasible, scores, evaluated, diagnosis := p.feasible(pod)
	if diagnosis != nil {
		return Choice{}, diagnosis
	}
	choice := Choice{Evaluated: evaluated, Feasible: len(feasible), prepared: d.prepared}
	for i, index := range feasible {
		choice.Scores = append(choice.Scores, NodeScore{p.cluster.Nodes()[index].Name(), scores[i]})
	}
	choice.Node = choice.Scores[p.best(scores)].Node
	return choice, nil
}

// Override is the diagnosis of a pod for which nodes were found, but then
// refused for reasons of others.
func (p *Placer) Override(pod *state.Pod, refused map[string]*Status) *Diagnosis {
	nodes := p.cluster.Nodes()
	d, status := p.prepare(pod)
	if status != nil {
		diagnosis := &Diagnosis{Before: status, count: len(nodes)}
		diagnosis.refused(status)
		return diagnosis
	}
	diagnosis := d.diagnose(nodes)
	for i, node := range nodes {
		if status := refused[node.Name()]; status != nil {
			diagnosis.Nodes[i] = status
			diagnosis.refused(status)
		}
	}
	return diagnosis
}

// Fits tells whether a pod can go to a node, with what refuses it if not.
func (p *Placer) Fits(pod *state.Pod, node string) *Status {
	d, status := p.prepare(pod)
	if status != nil {
		return status
	}
	n := p.cluster.Node(node)
	if n == nil || d.only != nil && !d.only[node] {
		return &Status{Unresolvable: true, Reasons: []string{"node(s) didn't satisfy plugin(s)"}}
	}
	return d.check(n)
}

func (p *Placer) feasible(pod *state.Pod) (_ *decision, feasible []int32, scores []int64, evaluated int, _ *Diagnosis) {
	nodes := p.cluster.Nodes()
	refuse := func(status *Status) *Diagnosis {
		diagnosis := &Diagnosis{Before: status, count: len(nodes)}
		diagnosis.refused(status)
		return diagnosis
	}
	if len(nodes) == 0 {
		return nil, nil, nil, 0, &Diagnosis{Before: &Status{Unresolvable: true, Reasons: []string{NoNodes}}}
	}
	d, status := p.prepare(pod)
	p.ended("PreFilter", status.Code())
	if status != nil {
		return nil, nil, nil, 0, refuse(status)
	}
	if nominated := p.cluster.Node(pod.Obj.Status.NominatedNodeName); nominated != nil && d.check(nominated) == nil {
		return d, []int32{int32(nominated.Index())}, []int64{0}, 1, nil
	}
	feasible, evaluated, status = d.filter(nodes)
	p.ended("Filter", status.Code())
	switch {
	case status != nil:
		return nil, nil, nil, 0, refuse(status)
	case len(feasible) == 0:
		return nil, nil, nil, 0, d.diagnose(nodes)
	case len(feasible) == 1:
		return d, feasible, []int64{0}, evaluated, nil
	}
	scores, status = d.score(nodes, feasible)
	p.ended("Score", status.Code())
	if status != nil {
		return nil, nil, nil, 0, refuse(status)
	}
	return d, feasible, scores, evaluated, nil
}

// NoNodes says that there is nothing to place pods on.
const NoNodes = "no nodes available to schedule pods"

// filter returns the indexes of the nodes that nothing refuses, and how many
// nodes it looked at.
func (d *decision) filter(nodes []*state.Node) ([]int32, int, *Status) {
	nominations := d.nominations != nil && d.nominations.Any()
	wanted := d.wanted(len(nodes))
	feasible := slices.Grow(d.feasibles[:0], wanted)
	d.feasibles = feasible
	looked := 0
	for offset := range nodes {
		if len(feasible) == wanted {
			break
		}
		looked++
		index := (d.start + offset) % len(nodes)
		if d.shape.rows[index].status != nil {
			continue
		}
		node := nodes[index]
		if d.only != nil && !d.only[node.Name()] {
			continue
		}
		var status *Status
		if nominations && len(d.nominations.On(node.Name())) > 0 {
			status = d.check(node)
		} else {
			status = d.among(node, index)
		}
		if status == nil {
			feasible = append(feasible, int32(index))
		} else if status.Err != nil {
			return nil, looked, status
		}
	}
	if wanted < len(nodes) {
		d.start = (d.start + looked) % len(nodes)
	}
	return feasible, looked, nil
}

// wanted is how many feasible nodes are enough.
func (d *decision) wanted(nodes int) int {
	const atLeast = 100
	percentage := d.profile.PercentageOfNodesToScore
	if len(d.profile.Scores) == 0 {
		return 1
	}
	if nodes < atLeast || percentage <= 0 || percentage >= 100 {
		return nodes
	}
	return max(nodes*percentage/100, atLeast)
}

// among asks what depends on other pods and on other objects, for a node that
// by itself fits.
func (d *decision) among(node *state.Node, index int) *Status {
	if d.kin != nil {
		if status := d.kin.filterSpread(index, d.least); status != nil {
			return status
		}
		if status := d.kin.filterPairs(index); status != nil {
			return status
		}
	}
	for i := range d.prepared {
		if status := d.prepared[i].ask(node); status != nil {
			return status
		}
	}
	return nil
}

// ask filters in the plugin's name.
func (r *ready) ask(node *state.Node) *Status {
	status := r.Filter(node)
	if status == nil {
		return nil
	}
	status.Plugin = r.name
	if status.Err != nil {
		status.Err = fmt.Errorf("running %q filter plugin: %w", r.name, status.Err)
	}
	return status
}

// check asks all plugins about one node as it is, and before that as if the
// pods that are nominated to it, and that the pod has to yield to, were there.
func (d *decision) check(node *state.Node) *Status {
	if status := d.checkCrowded(node); status != nil {
		return status
	}
	return d.first(node, node.Index(), d.least)
}

// checkCrowded asks about the node as if the pods that are nominated to it, and
// that the pod has to yield to, were there; without such pods it has no complaint.
func (d *decision) checkCrowded(node *state.Node) *Status {
	if d.nominations == nil {
		return nil
	}
	var crowded *state.Node
	for _, other := range d.nominations.On(node.Name()) {
		if other.Priority >= d.pod.Priority && other.UID() != d.pod.UID() {
			if crowded == nil {
				crowded = node.Clone()
			}
			crowded.Add(other)
		}
	}
	if crowded == nil {
		return nil
	}
	return d.checkWhatIf(crowded)
}

// checkWhatIf asks all plugins about a node that is not as the cluster has it.
func (d *decision) checkWhatIf(node *state.Node) (status *Status) {
	index := node.Index()
	if d.kin == nil {
		return d.first(node, index, nil)
	}
	d.kin.whatIf(index, node, d.cluster.Nodes(), func() {
		status = d.first(node, index, d.kin.spreadLeast())
	})
	return status
}

// first asks the plugins in order and returns the first refusal.
func (d *decision) first(node *state.Node, index int, least []int64) *Status {
	local, place := d.shape.rules.filter(node)
	return d.firstOf(node, index, least, local, place)
}

// firstOf is first where it is known what refuses of the plugins that look at a
// node alone.
func (d *decision) firstOf(node *state.Node, index int, least []int64, local *Status, localPlace int) *Status {
	next := 0
	for place, name := range d.profile.Filters {
		if place == localPlace {
			return local
		}
		var status *Status
		switch {
		case name == PodTopologySpread && d.kin != nil:
			status = d.kin.filterSpread(index, least)
		case name == InterPodAffinity && d.kin != nil:
			status = d.kin.filterPairs(index)
		case next < len(d.prepared) && d.prepared[next].place == place:
			status = d.prepared[next].ask(node)
			next++
		}
		if status != nil {
			return status
		}
	}
	return nil
}

// diagnose says for each node what refuses it first.
func (d *decision) diagnose(nodes []*state.Node) *Diagnosis {
	diagnosis := &Diagnosis{Nodes: make([]*Status, len(nodes)), count: len(nodes), prepared: d.prepared}
	for plugin := range d.onlyBy {
		diagnosis.refused(&Status{Plugin: plugin})
	}
	if d.only != nil {
		diagnosis.Rest = &Status{Unresolvable: true, Reasons: []string{fmt.Sprintf("node(s) didn't satisfy plugin(s) %v", sortedKeys(d.onlyBy))}}
	}
	for i, node := range nodes {
		if d.only != nil && !d.only[node.Name()] {
			continue
		}
		row := &d.shape.rows[i]
		var status *Status
		if d.nominations != nil && len(d.nominations.On(node.Name())) > 0 {
			status = d.check(node)
		} else {
			status = d.firstOf(node, i, d.least, row.status, row.place)
		}
		if status == nil {
			continue
		}
		diagnosis.Nodes[i] = status
		diagnosis.refused(status)
	}
	return diagnosis
}

// score sums the weighted scores of the feasible nodes.
func (d *decision) score(nodes []*state.Node, feasible []int32) ([]int64, *Status) {
	rows, weights := d.shape.rows, d.profile.weights
	scores := slices.Grow(d.scores[:0], len(feasible))[:len(feasible)]
	d.scores = scores
	var taints, affinity int64
	for i, index := range feasible {
		row := &rows[index]
		scores[i] = row.fixed
		taints, affinity = max(taints, row.taints), max(affinity, row.affinity)
	}
	if d.shape.rules.counted {
		count, err := d.profile.devices.Count()
		if err != nil {
			return nil, &Status{Err: err}
		}
		for i, index := range feasible {
			scores[i] += d.shape.rules.resourceScores(nodes[index], count)
		}
	}
	taintWeight, affinityWeight := weights[TaintToleration], weights[NodeAffinity]
	for i, index := range feasible {
		row := &rows[index]
		if taints > 0 {
			scores[i] += taintWeight * (maxScore - maxScore*row.taints/taints)
		} else {
			scores[i] += taintWeight * maxScore
		}
		if affinity > 0 {
			scores[i] += affinityWeight * (maxScore * row.affinity / affinity)
		}
	}
	add := func(weight int64, some []int64) {
		for i, score := range some {
			scores[i] += weight * score
		}
	}
	if d.kin != nil {
		add(weights[PodTopologySpread], d.kin.spreadScores(feasible))
		if d.kin.pairs != nil {
			add(weights[InterPodAffinity], d.kin.pairs.scores(feasible))
		}
	}
	for i := range d.prepared {
		weight := weights[d.prepared[i].name]
		if weight == 0 {
			continue
		}
		some := make([]*state.Node, len(feasible))
		for j, index := range feasible {
			some[j] = nodes[index]
		}
		if given, ok := d.prepared[i].Score(some); ok {
			add(weight, given)
		}
	}
	return scores, nil
}

// best is the place of the highest score; among equals chance decides.
func (p *Placer) best(scores []int64) int {
	best, equals := 0, 1
	for i := 1; i < len(scores); i++ {
		switch {
		case scores[i] > scores[best]:
			best, equals = i, 1
		case scores[i] == scores[best]:
			if equals++; p.random.IntN(equals) == 0 {
				best = i
			}
		}
	}
	return best
}

func sortedKeys(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
