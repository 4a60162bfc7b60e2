package state

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// keptChanges bounds the log of changes; who is further behind starts over.
const keptChanges = 1 << 12

// A Cluster is all nodes and the pods that are on them, or are taken to be.
type Cluster struct {
	nodes  []*Node // those that exist, in no order that means anything
	byName map[string]*Node
	onNode map[types.UID]placed

	changes []Change // oldest first
	dropped uint64   // how many changes were dropped from the log's front
	epoch   uint64   // grows when indexes of nodes change their meaning

	images     map[string]*Image
	imageEpoch uint64

	withAffinity int // pods on existing nodes that say something of other pods

	namespaces     map[string]labels.Set
	namespaceEpoch uint64
}

type placed struct {
	pod  *Pod
	node string
}

// An Image is a container image that nodes have.
type Image struct {
	Size  int64 // bytes, as the first node said
	Nodes int   // how many nodes have it
}

// NewCluster is without nodes.
func NewCluster() *Cluster {
	return &Cluster{
		byName: map[string]*Node{}, onNode: map[types.UID]placed{}, images: map[string]*Image{},
		namespaces: map[string]labels.Set{},
	}
}

// Nodes are those that exist. The slice is the cluster's own: it is for reading
// until the next change.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Node is the one of that name, or nil.
func (c *Cluster) Node(name string) *Node {
	if n := c.byName[name]; n != nil && n.Obj != nil {
		return n
	}
	return nil
}

// Pod is the pod that is on a node, with that node's name; nil when it is on
// none.
func (c *Cluster) Pod(uid types.UID) (*Pod, string) {
	p := c.onNode[uid]
	return p.pod, p.node
}

// Pods counts the pods that are on nodes.
func (c *Cluster) Pods() int { return len(c.onNode) }

// SetNode adds a node or gives it another object.
func (c *Cluster) SetNode(obj *corev1.Node) {
	n := c.byName[obj.Name]
	if n == nil {
		n = &Node{index: -1}
		c.byName[obj.Name] = n
	}
	if n.Obj != nil {
		if !sameImages(n.Obj, obj) {
			c.countImages(n.Obj, -1)
			c.countImages(obj, 1)
		}
	} else {
		c.countImages(obj, 1)
		c.withAffinity += len(n.WithAffinity)
	}
	n.setObject(obj)
	if n.index < 0 {
		n.index = len(c.nodes)
		c.nodes = append(c.nodes, n)
		c.imageEpoch++
	}
	c.changed(Change{Index: n.index})
}

// RemoveNode forgets a node, but not the pods that are still said to be on it:
// when it comes back they take their room again.
func (c *Cluster) RemoveNode(name string) {
	n := c.byName[name]
	if n == nil || n.Obj == nil {
		return
	}
	c.countImages(n.Obj, -1)
	c.imageEpoch++
	c.withAffinity -= len(n.WithAffinity)
	last := c.nodes[len(c.nodes)-1]
	c.nodes[n.index], last.index = last, n.index
	c.nodes = c.nodes[:len(c.nodes)-1]
	n.Obj, n.index = nil, -1
	if len(n.Pods) == 0 {
		delete(c.byName, name)
	}
	c.epoch++
}

// AddPod puts a pod on a node, in place of the same pod wherever it was. The
// node need not exist yet.
func (c *Cluster) AddPod(pod *Pod, node string) {
	if old, ok := c.onNode[pod.UID()]; ok {
		if old.node == node && old.pod.alike(pod) {
			c.byName[node].swap(old.pod, pod)
			c.onNode[pod.UID()] = placed{pod, node}
			return
		}
		c.RemovePod(pod.UID())
	}
	n := c.byName[node]
	if n == nil {
		n = &Node{index: -1}
		c.byName[node] = n
	}
	n.Add(pod)
	c.onNode[pod.UID()] = placed{pod, node}
	if n.Obj != nil {
		if pod.HasAffinity() {
			c.withAffinity++
		}
		c.changed(Change{n.index, pod, 1})
	}
}

// RemovePod takes a pod off its node; it may be on none.
func (c *Cluster) RemovePod(uid types.UID) {
	p, ok := c.onNode[uid]
	if !ok {
		return
	}
	delete(c.onNode, uid)
	n := c.byName[p.node]
	n.Remove(uid)
	if n.Obj != nil {
		if p.pod.HasAffinity() {
			c.withAffinity--
		}
		c.changed(Change{n.index, p.pod, -1})
	} else if len(n.Pods) == 0 {
		delete(c.byName, p.node)
	}
}

// HasAffinity tells whether any pod on a node says something of other pods.
func (c *Cluster) HasAffinity() bool { return c.withAffinity > 0 }

// SetNamespace notes a namespace's labels.
func (c *Cluster) SetNamespace(name string, set labels.Set) {
	if old, ok := c.namespaces[name]; ok && labels.Equals(old, set) {
		return
	}
	c.namespaces[name] = set
	c.namespaceEpoch++
}

// RemoveNamespace forgets a namespace.
func (c *Cluster) RemoveNamespace(name string) {
	if _, ok := c.namespaces[name]; ok {
		delete(c.namespaces, name)
		c.namespaceEpoch++
	}
}

// Namespace are the labels of a namespace; none if it isn't known.
func (c *Cluster) Namespace(name string) labels.Set { return c.namespaces[name] }

// Namespaces calls f with each namespace.
func (c *Cluster) Namespaces(f func(name string, set labels.Set)) {
	for name, set := range c.namespaces {
		f(name, set)
	}
}

// NamespaceEpoch changes when labels of namespaces do.
func (c *Cluster) NamespaceEpoch() uint64 { return c.namespaceEpoch }

// A Position is a place in the log of changes.
type Position struct{ epoch, change uint64 }

// A Change is one to the node of that index: a pod came (Sign 1) or went (-1),
// or anything about the node may be new (0).
type Change struct {
	Index int
	Pod   *Pod
	Sign  int
}

// ChangedSince returns the changes since the position, oldest first, and the
// position of now. false: they are not known any more and all nodes have to be
// looked at; so for the zero Position. The slice is for reading until the next
// change.
func (c *Cluster) ChangedSince(p Position) ([]Change, Position, bool) {
	now := Position{c.epoch + 1, c.dropped + uint64(len(c.changes))}
	if p.epoch != now.epoch || p.change < c.dropped {
		return nil, now, false
	}
	return c.changes[p.change-c.dropped:], now, true
}

// Image is what nodes have of a normalized image name; nil: none has it.
func (c *Cluster) Image(name string) *Image { return c.images[name] }

// ImageEpoch changes when what [Cluster.Image] answers may have changed, or the
// number of nodes did.
func (c *Cluster) ImageEpoch() uint64 { return c.imageEpoch }

func (c *Cluster) changed(change Change) {
	if len(c.changes) >= keptChanges {
		half := len(c.changes) / 2
		c.dropped += uint64(half)
		c.changes = append(make([]Change, 0, keptChanges), c.changes[half:]...)
	}
	c.changes = append(c.changes, change)
}

func (c *Cluster) countImages(node *corev1.Node, sign int) {
	seen := map[string]bool{}
	for i := range node.Status.Images {
		for _, name := range node.Status.Images[i].Names {
			if seen[name] {
				continue
			}
			seen[name] = true
			image := c.images[name]
			if image == nil {
				image = &Image{Size: node.Status.Images[i].SizeBytes}
				c.images[name] = image
			}
			if image.Nodes += sign; image.Nodes <= 0 {
				delete(c.images, name)
			}
		}
	}
	c.imageEpoch++
}

func sameImages(a, b *corev1.Node) bool {
	if len(a.Status.Images) != len(b.Status.Images) {
		return false
	}
	for i := range a.Status.Images {
		x, y := &a.Status.Images[i], &b.Status.Images[i]
		if x.SizeBytes != y.SizeBytes || len(x.Names) != len(y.Names) {
			return false
		}
		for j := range x.Names {
			if x.Names[j] != y.Names[j] {
				return false
			}
		}
	}
	return true
}
