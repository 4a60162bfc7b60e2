// Package nodeipam gives each node its part of the pods' addresses, in
// spec.podCIDRs, where --allocate-node-cidrs asks for it. What is given stands in
// the nodes; whoever begins to lead reads it from the API itself.
package nodeipam

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"
	nodeutil "k8s.io/component-helpers/node/util"

	"github.com/howdah/howdah/controllers/reconcile"
)

const workers = 10

// Options say which addresses nodes get.
type Options struct {
	Ranges   []Range        // none: nodes get no addresses from here
	Services []netip.Prefix // of which no node gets anything
}

type controller struct {
	client kubernetes.Interface
	nodes  corelisters.NodeLister
	events record.EventRecorder

	mu    sync.Mutex
	read  bool
	parts []*parts // of each range
	held  map[string]holding
	waits map[string]bool // nodes that got nothing, for as long as nothing is free
	queue *reconcile.Queue[string]
}

// A holding is what a node has.
type holding struct {
	uid      types.UID
	prefixes []netip.Prefix
}

// Setup is the node-ipam-controller.
func Setup(o Options) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		if len(o.Ranges) == 0 {
			return nil
		}
		register()
		nodes := c.Informers.Core().V1().Nodes()
		x := &controller{client: c.Client, nodes: nodes.Lister(), events: c.Recorder("cidrAllocator"), held: map[string]holding{}, waits: map[string]bool{}}
		for _, r := range o.Ranges {
			p := newParts(r)
			for _, services := range o.Services {
				p.occupy(services)
			}
			x.parts = append(x.parts, p)
			maxCIDRs.WithLabelValues(r.Cluster.String()).Set(float64(p.count))
		}
		x.queue = reconcile.NewQueue(c, "cidrallocator_node", workers, x.sync)
		return c.Handle(nodes.Informer(), reconcile.Events[*corev1.Node]{
			Add:    func(n *corev1.Node) { x.queue.Add(n.Name) },
			Update: func(_, n *corev1.Node) { x.queue.Add(n.Name) },
			Delete: x.gone,
		})
	}
}

func (x *controller) sync(ctx context.Context, name string) error {
	node, err := x.nodes.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || node.DeletionTimestamp != nil {
		return err
	}
	prefixes, err := x.assign(ctx, node)
	if errors.Is(err, errExhausted) {
		x.tell(node, "CIDRNotAvailable")
	}
	if err != nil || len(node.Spec.PodCIDRs) > 0 {
		return err
	}
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = p.String()
	}
	// What was reserved stays so if this fails: the write may have succeeded.
	if err := nodeutil.PatchNodeCIDRs(ctx, x.client, types.NodeName(name), texts); err != nil {
		x.tell(node, "CIDRAssignmentFailed")
		return fmt.Errorf("give the node %s its addresses: %w", name, err)
	}
	return nil
}

func (x *controller) tell(node *corev1.Node, status string) {
	x.events.Eventf(&corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}, corev1.EventTypeNormal, status, "Node %s status is now: %s", node.Name, status)
}

var errExhausted = errors.New("CIDR allocation failed; there are no remaining CIDRs left to allocate in the accepted range")

// assign reserves a node's part of each range: those it has, those that were
// reserved for it before, or free ones.
func (x *controller) assign(ctx context.Context, node *corev1.Node) ([]netip.Prefix, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.read {
		all, err := x.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("read which addresses nodes have: %w", err)
		}
		for i := range all.Items {
			if node := &all.Items[i]; len(node.Spec.PodCIDRs) > 0 {
				_ = x.occupy(node) // told when its turn comes
			}
		}
		x.read = true
	}
	if len(node.Spec.PodCIDRs) > 0 {
		return nil, x.occupy(node)
	}
	if h, ok := x.held[node.Name]; ok {
		if h.uid == node.UID {
			return h.prefixes, nil
		}
		x.release(node.Name)
	}
	h := holding{uid: node.UID}
	for _, p := range x.parts {
		prefix, ok := p.allocate()
		if !ok {
			for i, reserved := range h.prefixes {
				x.parts[i].release(reserved)
			}
			x.waits[node.Name] = true
			return nil, fmt.Errorf("%s: %w", p.Cluster, errExhausted)
		}
		allocations.WithLabelValues(p.Cluster.String()).Inc()
		h.prefixes = append(h.prefixes, prefix)
	}
	x.held[node.Name] = h
	x.measure()
	return h.prefixes, nil
}

// occupy takes what a node has.
func (x *controller) occupy(node *corev1.Node) error {
	if h, ok := x.held[node.Name]; ok && h.uid == node.UID && len(h.prefixes) == len(node.Spec.PodCIDRs) {
		return nil
	}
	h := holding{uid: node.UID}
	var errs []error
	for i, text := range node.Spec.PodCIDRs {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if i >= len(x.parts) || !x.parts[i].occupy(prefix) {
			errs = append(errs, fmt.Errorf("the node %s has the pod CIDR %s, which is not of --cluster-cidr", node.Name, text))
			continue
		}
		h.prefixes = append(h.prefixes, prefix)
	}
	x.held[node.Name] = h
	x.measure()
	return errors.Join(errs...)
}

// gone gives back what a node had that was deleted.
func (x *controller) gone(node *corev1.Node) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if h, ok := x.held[node.Name]; ok && h.uid == node.UID {
		x.release(node.Name)
	}
}

func (x *controller) release(node string) {
	for _, prefix := range x.held[node].prefixes {
		for _, p := range x.parts {
			if p.Cluster.Overlaps(prefix) {
				p.release(prefix)
				releases.WithLabelValues(p.Cluster.String()).Inc()
			}
		}
	}
	delete(x.held, node)
	for waiting := range x.waits {
		x.queue.Add(waiting)
	}
	clear(x.waits)
	x.measure()
}

func (x *controller) measure() {
	for _, p := range x.parts {
		usage.WithLabelValues(p.Cluster.String()).Set(float64(p.used) / float64(p.count))
	}
}
