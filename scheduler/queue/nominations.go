package queue

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/howdah/howdah/scheduler/state"
)

// Nominations are the pods for which preemption made, or makes, room on a node.
type Nominations struct {
	byNode map[string][]*state.Pod
	nodeOf map[types.UID]string
}

// NewNominations is empty.
func NewNominations() *Nominations {
	return &Nominations{byNode: map[string][]*state.Pod{}, nodeOf: map[types.UID]string{}}
}

// Set nominates a pod to a node, in place of an earlier nomination; with "" to
// none.
func (n *Nominations) Set(pod *state.Pod, node string) {
	n.Delete(pod.UID())
	if node != "" {
		n.nodeOf[pod.UID()] = node
		n.byNode[node] = append(n.byNode[node], pod)
	}
}

// Delete forgets a pod.
func (n *Nominations) Delete(uid types.UID) {
	node, ok := n.nodeOf[uid]
	if !ok {
		return
	}
	delete(n.nodeOf, uid)
	n.byNode[node] = slices.DeleteFunc(n.byNode[node], func(p *state.Pod) bool { return p.UID() == uid })
	if len(n.byNode[node]) == 0 {
		delete(n.byNode, node)
	}
}

// Node is where a pod is nominated to, or "".
func (n *Nominations) Node(uid types.UID) string { return n.nodeOf[uid] }

// On are the pods nominated to a node.
func (n *Nominations) On(node string) []*state.Pod { return n.byNode[node] }

// Any tells whether there are nominations at all.
func (n *Nominations) Any() bool { return len(n.nodeOf) > 0 }
