package placement

import (
	"k8s.io/apimachinery/pkg/util/version"

	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/howdah/howdah/scheduler/state"
)

// profile is a [Config] with its parts parsed.
type profile struct {
	Config
	version        *version.Version
	addedRequired  *nodeaffinity.NodeSelector
	addedPreferred *nodeaffinity.PreferredSchedulingTerms
	ignoredNames   map[string]bool
	ignoredGroups  map[string]bool
	weights        map[string]int64
	filters        map[string]bool
	devices        Devices // nil: there are none
}

// A row is how one node takes a shape.
type row struct {
	status *Status // nil: it does
	place  int     // in the order of filters of what refused
	// Weighted scores that need no other node to be known (but for those by
	// resources, if devices are counted for them), and those that are set in
	// relation to the other nodes.
	fixed, taints, affinity int64
}

// A shape's rows are kept from one decision to the next.
type shapeRows struct {
	rules    *rules
	rows     []row
	position state.Position
	images   uint64
	anyImage bool
	used     uint64 // when, for forgetting those that nobody uses
}

// refresh brings the rows up to the cluster's present.
func (s *shapeRows) refresh(cluster *state.Cluster) {
	nodes := cluster.Nodes()
	changes, now, known := cluster.ChangedSince(s.position)
	s.position = now
	if epoch := cluster.ImageEpoch(); epoch != s.images {
		s.images = epoch
		had := s.anyImage
		s.anyImage = false
		for _, name := range s.rules.images {
			s.anyImage = s.anyImage || cluster.Image(name) != nil
		}
		known = known && !had && !s.anyImage
	}
	if !known {
		s.rows = make([]row, len(nodes))
		for i, node := range nodes {
			s.rows[i] = s.row(cluster, node)
		}
		return
	}
	for len(s.rows) < len(nodes) {
		s.rows = append(s.rows, row{})
	}
	for _, change := range changes {
		s.rows[change.Index] = s.row(cluster, nodes[change.Index])
	}
}

func (s *shapeRows) row(cluster *state.Cluster, node *state.Node) row {
	r := s.rules
	status, place := r.filter(node)
	if status != nil {
		return row{status: status, place: place}
	}
	weights := r.config.weights
	out := row{place: place}
	if !r.counted {
		out.fixed = r.resourceScores(node, nil)
	}
	if w := weights[ImageLocality]; w != 0 && s.anyImage {
		out.fixed += w * r.imageScore(cluster, node)
	}
	if weights[TaintToleration] != 0 && len(node.Obj.Spec.Taints) > 0 {
		out.taints = r.intolerable(node)
	}
	if weights[NodeAffinity] != 0 && r.prefers() {
		out.affinity = r.preference(node)
	}
	return out
}
