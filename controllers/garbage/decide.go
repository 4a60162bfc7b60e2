package garbage

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A reference is an owner as a dependent names it. The namespace is the
// dependent's.
type reference struct {
	uid                               types.UID
	apiVersion, kind, name, namespace string
}

// A view is what the graph knows of one object, copied out.
type view struct {
	uid             types.UID
	kind            *kind
	namespace, name string
	version         uint64
	owners          []ownerView

	deleting, foreground, orphaning bool
	dependents                      []types.UID
	blocking                        []types.UID // dependents that hold a foreground delete and don't wait themselves
	blocked                         bool        // some dependent holds a foreground delete
	circular                        bool        // a dependent waits for its own dependents
}

type ownerView struct {
	reference
	exists bool // as was seen; otherwise the API must be asked
	waits  bool
	// elsewhere is a namespace that the owner was seen in although the
	// dependent can't name anything there.
	elsewhere bool
}

// look copies out what is known of an object; nil: nothing.
func (g *graph) look(uid types.UID) *view {
	n := g.nodes[uid]
	if n == nil || !n.seen() {
		return nil
	}
	v := &view{
		uid: n.uid, kind: n.kind, namespace: n.namespace, name: n.name, version: n.version,
		deleting: n.deleting, foreground: n.foreground, orphaning: n.orphaning,
	}
	for _, e := range n.owners {
		exists := e.means(e.owner, n)
		v.owners = append(v.owners, ownerView{
			reference: reference{uid: e.owner.uid, apiVersion: e.apiVersion, kind: e.kind, name: e.name, namespace: n.namespace},
			exists:    exists, waits: exists && e.owner.waits(),
			elsewhere: e.owner.seen() && e.owner.kind.namespaced && e.owner.namespace != n.namespace,
		})
	}
	for dependent := range n.dependents {
		v.dependents = append(v.dependents, dependent.uid)
		v.circular = v.circular || dependent.waits()
		if slices.ContainsFunc(dependent.owners, func(e edge) bool { return e.owner == n && e.blocks }) {
			v.blocked = true
			if !dependent.waits() {
				v.blocking = append(v.blocking, dependent.uid)
			}
		}
	}
	return v
}

// A verdict is what becomes of an object with owners.
type verdict struct {
	remove  []types.UID                 // owner references to take off; the object stays
	delete  *metav1.DeletionPropagation // the object goes
	unblock bool                        // first stop holding the owners: a circle of deletes would wait for ever
}

// decide is the rule: an object lives while one of its owners does; an owner
// that is deleted in the foreground takes its dependents with it, unless
// another owner keeps them. gone are the references that lead nowhere.
func decide(v *view, gone map[types.UID]bool) verdict {
	var solid, rest, waiting []types.UID
	for _, owner := range v.owners {
		switch {
		case gone[owner.uid]:
			rest = append(rest, owner.uid)
		case owner.waits:
			waiting = append(waiting, owner.uid)
		default:
			solid = append(solid, owner.uid)
		}
	}
	policy := metav1.DeletePropagationBackground
	switch {
	case len(solid) > 0:
		return verdict{remove: append(rest, waiting...)}
	case len(waiting) > 0 && len(v.dependents) > 0:
		policy = metav1.DeletePropagationForeground
		return verdict{delete: &policy, unblock: v.circular}
	case v.orphaning: // an object's own finalizer says how it is to go
		policy = metav1.DeletePropagationOrphan
	case v.foreground:
		policy = metav1.DeletePropagationForeground
	}
	return verdict{delete: &policy}
}
