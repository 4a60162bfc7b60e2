package placement

import "github.com/howdah/howdah/scheduler/state"

// A Verdict is what filters and scores say of one node.
type Verdict struct {
	Node   string
	Status *Status // what refuses it; nil: nothing does
	Score  int64   // sum of weighted scores, if nothing refuses it
}

// Explain looks at all nodes as [Placer.Find] does, and says what it finds of
// each, in the order of [state.Cluster.Nodes]. A status instead refuses the pod
// whatever the node.
func (p *Placer) Explain(pod *state.Pod) ([]Verdict, *Status) {
	d, status := p.prepare(pod)
	if status != nil {
		return nil, status
	}
	nodes := p.cluster.Nodes()
	verdicts := make([]Verdict, len(nodes))
	diagnosis := d.diagnose(nodes)
	var feasible []int32
	for i, node := range nodes {
		verdicts[i] = Verdict{Node: node.Name(), Status: diagnosis.of(i)}
		if d.only != nil && d.only[node.Name()] {
			verdicts[i].Status = diagnosis.Nodes[i]
		}
		if verdicts[i].Status == nil {
			feasible = append(feasible, int32(i))
		}
	}
	if len(feasible) > 0 {
		scores, status := d.score(nodes, feasible)
		if status != nil {
			return nil, status
		}
		for i, score := range scores {
			verdicts[feasible[i]].Score = score
		}
	}
	return verdicts, nil
}
