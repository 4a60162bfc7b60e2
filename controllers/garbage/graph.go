package garbage

import (
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// A kind is what objects of one resource have in common.
type kind struct {
	resource   schema.GroupVersionResource
	apiVersion string
	kind       string
	namespaced bool
}

// A node is an object, or one that others name as their owner and that has not
// been seen ([node.seen]).
type node struct {
	uid             types.UID
	kind            *kind // nil: not seen
	namespace, name string
	version         uint64 // resourceVersion; 0: not a number
	owners          []edge
	dependents      map[*node]struct{}

	deleting   bool
	foreground bool // it waits for its dependents' deletion
	orphaning  bool // it waits until its dependents forget it
}

// An edge is an owner reference.
type edge struct {
	owner                  *node
	apiVersion, kind, name string
	blocks                 bool
}

func (n *node) seen() bool { return n.kind != nil }

// waits is whether the object is deleted and waits for its dependents.
func (n *node) waits() bool { return n.deleting && n.foreground }

// A graph knows who owns whom. It isn't safe for concurrent use.
type graph struct {
	nodes map[types.UID]*node
	names map[string]string // one copy of each namespace, kind and version
}

// work is what a change gives reason to look at.
type work struct{ delete, orphan []types.UID }

func newGraph() *graph {
	return &graph{nodes: map[types.UID]*node{}, names: map[string]string{}}
}

// one returns the one copy of a string that many objects share.
func (g *graph) one(s string) string {
	if known, ok := g.names[s]; ok {
		return known
	}
	g.names[s] = s
	return s
}

// observe takes in an object that was added or changed.
func (g *graph) observe(k *kind, object *metav1.PartialObjectMetadata) work {
	var look work
	n := g.nodes[object.UID]
	if n == nil {
		n = &node{uid: object.UID}
		g.nodes[n.uid] = n
	}
	first := !n.seen()
	n.kind, n.name, n.namespace = k, object.Name, g.one(object.Namespace)
	n.version, _ = strconv.ParseUint(object.ResourceVersion, 10, 64)
	if first {
		// Some may mean another object by this UID.
		for dependent := range n.dependents {
			if !slices.ContainsFunc(dependent.owners, func(e edge) bool { return e.owner == n && e.means(n, dependent) }) {
				look.delete = append(look.delete, dependent.uid)
			}
		}
	}
	g.setOwners(n, object.OwnerReferences, &look)

	waited, orphaned := n.waits(), n.deleting && n.orphaning
	n.deleting = object.DeletionTimestamp != nil
	n.foreground = slices.Contains(object.Finalizers, metav1.FinalizerDeleteDependents)
	n.orphaning = slices.Contains(object.Finalizers, metav1.FinalizerOrphanDependents)
	if n.waits() && !waited {
		look.delete = append(look.delete, n.uid)
		for dependent := range n.dependents {
			look.delete = append(look.delete, dependent.uid)
		}
	}
	if n.deleting && n.orphaning && !orphaned {
		look.orphan = append(look.orphan, n.uid)
	}
	return look
}

// setOwners makes the edges those of the references.
func (g *graph) setOwners(n *node, references []metav1.OwnerReference, look *work) {
	before := n.owners
	if slices.EqualFunc(before, references, edge.is) {
		return
	}
	n.owners = nil
	if len(references) > 0 {
		n.owners = make([]edge, 0, len(references))
	}
	suspect := false
	for _, reference := range references {
		owner := g.nodes[reference.UID]
		if owner == nil {
			owner = &node{uid: reference.UID}
			g.nodes[owner.uid] = owner
		}
		if owner.dependents == nil {
			owner.dependents = map[*node]struct{}{}
		}
		owner.dependents[n] = struct{}{}
		e := edge{
			owner: owner, apiVersion: g.one(reference.APIVersion), kind: g.one(reference.Kind), name: reference.Name,
			blocks: reference.BlockOwnerDeletion != nil && *reference.BlockOwnerDeletion,
		}
		if e.name == owner.name {
			e.name = owner.name // one copy
		}
		n.owners = append(n.owners, e)
		suspect = suspect || !e.means(owner, n) || owner.waits()
	}
	if suspect {
		look.delete = append(look.delete, n.uid)
	}
	for _, e := range before {
		g.unlink(n, e.owner, look)
	}
}

// unlink takes n off an owner that it may no longer name, or no longer block.
func (g *graph) unlink(n, owner *node, look *work) {
	if owner.waits() {
		look.delete = append(look.delete, owner.uid)
	}
	if slices.ContainsFunc(n.owners, func(e edge) bool { return e.owner == owner }) {
		return
	}
	delete(owner.dependents, n)
	if !owner.seen() && len(owner.dependents) == 0 {
		delete(g.nodes, owner.uid)
	}
}

// remove takes out an object that is gone.
func (g *graph) remove(uid types.UID) work {
	var look work
	n := g.nodes[uid]
	if n == nil || !n.seen() {
		return look
	}
	for dependent := range n.dependents {
		look.delete = append(look.delete, dependent.uid)
	}
	owners := n.owners
	n.owners = nil
	n.kind, n.name, n.deleting, n.foreground, n.orphaning = nil, "", false, false, false
	for _, e := range owners {
		g.unlink(n, e.owner, &look)
	}
	if len(n.dependents) == 0 && g.nodes[uid] == n {
		delete(g.nodes, uid)
	}
	return look
}

// of are the objects of a kind.
func (g *graph) of(k *kind) []types.UID {
	var uids []types.UID
	for uid, n := range g.nodes {
		if n.kind == k {
			uids = append(uids, uid)
		}
	}
	return uids
}

// is whether the edge was made from the reference.
func (e edge) is(reference metav1.OwnerReference) bool {
	return e.owner.uid == reference.UID && e.name == reference.Name && e.kind == reference.Kind && e.apiVersion == reference.APIVersion &&
		e.blocks == (reference.BlockOwnerDeletion != nil && *reference.BlockOwnerDeletion)
}

// means is whether the reference of a dependent names the owner as it was seen.
// A namespaced owner must be in the dependent's namespace.
func (e edge) means(owner, dependent *node) bool {
	return owner.seen() && e.name == owner.name && e.kind == owner.kind.kind && e.apiVersion == owner.kind.apiVersion &&
		(!owner.kind.namespaced || owner.namespace == dependent.namespace)
}
