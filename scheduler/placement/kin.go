package placement

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/howdah/howdah/scheduler/state"
)

// A kin is what is counted of other pods for pods that other pods see alike.
type kin struct {
	pod        *state.Pod
	rules      *rules
	hard, soft []*spread
	requireAll bool   // soft constraints need all their labels on a node
	selector   string // that default constraints select by
	pairs      *pairs // nil: no pod says anything of others
	silent     bool   // nothing is required by or of other pods, as nodes are
	err        error

	position   state.Position
	namespaces uint64
	used       uint64
}

// newKin reads what the pod says of other pods. nil: neither says it anything
// nor do they of it.
func newKin(r *rules, pod *state.Pod, cluster *state.Cluster, selector labels.Selector) *kin {
	k := &kin{pod: pod, rules: r, namespaces: cluster.NamespaceEpoch()}
	config := r.config
	constraints := pod.Obj.Spec.TopologySpreadConstraints
	k.requireAll = len(constraints) > 0 || !config.SystemDefaulted
	if len(constraints) == 0 {
		if selector != nil && !selector.Empty() {
			constraints = config.DefaultConstraints
			k.selector = selector.String()
		}
	} else {
		selector = nil
	}
	if config.filters[PodTopologySpread] {
		k.hard, k.err = newSpreads(pod, constraints, corev1.DoNotSchedule, selector)
	}
	if k.err == nil && config.weights[PodTopologySpread] != 0 {
		k.soft, k.err = newSpreads(pod, constraints, corev1.ScheduleAnyway, selector)
	}
	if (config.filters[InterPodAffinity] || config.weights[InterPodAffinity] != 0) && (cluster.HasAffinity() || pod.HasAffinity()) {
		k.pairs = newPairs(config, pod, cluster)
	}
	if k.err == nil && k.hard == nil && k.soft == nil && k.pairs == nil {
		return nil
	}
	return k
}

// refresh brings the counts up to the cluster's present.
func (k *kin) refresh(cluster *state.Cluster) {
	k.update(cluster)
	// As in kube-scheduler this is settled before nodes are looked at, and holds
	// for them also with nominated pods added.
	k.silent = k.pairs == nil || k.pairs.silent()
}

func (k *kin) update(cluster *state.Cluster) {
	nodes := cluster.Nodes()
	changes, now, known := cluster.ChangedSince(k.position)
	k.position = now
	if !known {
		k.reset(cluster)
		for i, node := range nodes {
			k.set(i, node, nodes)
		}
		return
	}
	var anew map[int]bool
	for _, change := range changes {
		if change.Sign == 0 {
			if anew == nil {
				anew = map[int]bool{}
			}
			anew[change.Index] = true
		}
	}
	for _, change := range changes {
		if change.Sign != 0 && !anew[change.Index] {
			k.change(change, nodes)
		}
	}
	for i := range anew {
		k.set(i, nodes[i], nodes)
	}
}

func (k *kin) reset(cluster *state.Cluster) {
	for _, list := range [][]*spread{k.hard, k.soft} {
		for _, s := range list {
			s.names, s.domain, s.labeled, s.counted, s.pods = map[string]int32{}, nil, nil, nil, nil
			s.total, s.members = nil, nil
		}
	}
	if k.pairs != nil {
		k.pairs = newPairs(k.rules.config, k.pod, cluster)
	}
}

func (k *kin) set(index int, node *state.Node, nodes []*state.Node) {
	namespace := k.pod.Obj.Namespace
	all := hasLabels(k.hard, node)
	for _, s := range k.hard {
		s.set(k.rules, namespace, index, node, all)
	}
	all = !k.requireAll || hasLabels(k.soft, node)
	for _, s := range k.soft {
		s.set(k.rules, namespace, index, node, all)
	}
	if k.pairs != nil {
		k.pairs.set(index, node, nodes)
	}
}

func (k *kin) change(change state.Change, nodes []*state.Node) {
	for _, s := range k.hard {
		s.change(k.pod.Obj.Namespace, change.Index, change.Pod, change.Sign)
	}
	for _, s := range k.soft {
		s.change(k.pod.Obj.Namespace, change.Index, change.Pod, change.Sign)
	}
	if k.pairs != nil {
		k.pairs.change(change.Index, change.Pod, change.Sign, nodes)
	}
}

func hasLabels(spreads []*spread, node *state.Node) bool {
	for _, s := range spreads {
		if _, ok := node.Obj.Labels[s.key]; !ok {
			return false
		}
	}
	return true
}

const (
	refusesSpread = "node(s) didn't match pod topology spread constraints"
	refusesLabel  = refusesSpread + " (missing required label)"
)

// spreadLeast are the fewest matching pods of a domain, by hard constraint.
func (k *kin) spreadLeast() []int64 {
	least := make([]int64, len(k.hard))
	for i, s := range k.hard {
		least[i] = s.least()
	}
	return least
}

// filterSpread is PodTopologySpread's filter.
func (k *kin) filterSpread(index int, least []int64) *Status {
	for i, s := range k.hard {
		if !s.labeled[index] {
			return k.rules.refuse(PodTopologySpread, true, refusesLabel)
		}
		if s.skewed(index, least[i]) {
			return k.rules.refuse(PodTopologySpread, false, refusesSpread)
		}
	}
	return nil
}

// filterPairs is InterPodAffinity's filter.
func (k *kin) filterPairs(index int) *Status {
	if k.silent {
		return nil
	}
	switch reason := k.pairs.filter(index); reason {
	case "":
		return nil
	default:
		return k.rules.refuse(InterPodAffinity, reason == refusesAffinity, reason)
	}
}

// whatIf asks as if a node were another one, and then forgets it.
func (k *kin) whatIf(index int, node *state.Node, nodes []*state.Node, ask func()) {
	k.set(index, node, nodes)
	ask()
	k.set(index, nodes[index], nodes)
}
