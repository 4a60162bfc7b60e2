package placement

import (
	"context"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/howdah/howdah/scheduler/state"
)

// A Plugin decides by more than the cluster's nodes and pods, so nothing of it
// is kept from one decision to the next.
type Plugin interface {
	Name() string
	// Prepare looks at the pod alone. A status refuses it on any node. Without
	// either, the plugin has nothing to say about this pod.
	Prepare(pod *state.Pod, cluster *state.Cluster) (Prepared, *Status)
}

// Prepared is what a plugin has to say about one pod in one decision.
type Prepared interface {
	// Only are the nodes that can be chosen at all; nil: any.
	Only() map[string]bool
	// Filter refuses a node by a status. The node may be one of [state.Node.Clone]
	// with pods added or removed.
	Filter(node *state.Node) *Status
	// Score is between 0 and 100, for nodes that were not refused; false: the
	// plugin doesn't score this pod.
	Score(nodes []*state.Node) ([]int64, bool)
}

// A Reserver is a [Prepared] that takes more than room on the chosen node.
type Reserver interface {
	// Reserve takes it in memory. Either may be nil.
	Reserve(node string) (Reservation, *Status)
}

// Taken is what a plugin of this name took.
type Taken struct {
	Plugin string
	Reservation
}

// A Reservation is what a plugin took for a pod on a node.
type Reservation interface {
	// Bind makes it real in the API, before the pod is bound; it may wait.
	Bind(ctx context.Context) error
	// Undo gives back what was taken. It may be called after Bind; only then it
	// may write to the API.
	Undo(ctx context.Context)
}

// An Unblocker is a [Prepared] that may give up what the pod has, when no node
// takes the pod, so that it is tried again without.
type Unblocker interface {
	// CanUnblock tells whether there is something to give up.
	CanUnblock() bool
	// Unblock writes to the API; it returns what was done, in words, or "".
	Unblock(ctx context.Context) (string, error)
}

// A Requeuer is a [Plugin] that knows which events may help a pod that it
// refused.
type Requeuer interface {
	MayHelp(event Event, pod *state.Pod) bool
}

// Workloads knows which pods belong together.
type Workloads interface {
	// Selector selects the pods of the Services and of the workload that a pod
	// belongs to; an empty selector when there are none.
	Selector(pod *state.Pod) labels.Selector
}

// Nominations are pods that are to go to a node once preemption has made room.
type Nominations interface {
	// On are the pods nominated to a node.
	On(node string) []*state.Pod
	// Any tells whether there are nominations at all.
	Any() bool
}
