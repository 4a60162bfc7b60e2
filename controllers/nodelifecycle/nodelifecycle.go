package nodelifecycle

import (
	"context"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	coordinationlisters "k8s.io/client-go/listers/coordination/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/component-helpers/node/topology"

	pods "github.com/howdah/howdah/controllers/pod"
	"github.com/howdah/howdah/controllers/reconcile"
)

const (
	taintPeriod = 100 * time.Millisecond // between attempts to taint the next node of a zone
	atOnce      = 16                     // nodes or pods that are written to
)

// excluded nodes don't count for how much of a zone is down.
const excluded = "node.kubernetes.io/exclude-disruption"

// Options are kube-controller-manager's.
type Options struct {
	MonitorPeriod, StartupGracePeriod, MonitorGracePeriod time.Duration

	EvictionRate, SecondaryEvictionRate float32 // nodes a second
	LargeClusterSize                    int32
	UnhealthyZoneThreshold              float32
}

type controller struct {
	Options
	life   *reconcile.Controller
	client kubernetes.Interface
	nodes  corelisters.NodeLister
	pods   corelisters.PodLister
	leases coordinationlisters.LeaseLister
	podsOf func(node string) []*corev1.Pod
	events record.EventRecorder

	// Only the monitoring loop uses these.
	known  map[string]*corev1.Node
	health map[string]*health
	retry  map[string]bool // nodes whose pods were not all marked

	mu    sync.Mutex
	zones zones
}

// Setup is the node-lifecycle-controller.
func Setup(o Options) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		register()
		nodes, podInformer := c.Informers.Core().V1().Nodes(), c.Informers.Core().V1().Pods()
		leases := c.Informers.Coordination().V1().Leases()
		of, err := pods.ByNode(podInformer.Informer())
		if err != nil {
			return err
		}
		x := &controller{
			Options: o, life: c, client: c.Client, nodes: nodes.Lister(), pods: podInformer.Lister(), leases: leases.Lister(), podsOf: of,
			events: c.Recorder("node-controller"), known: map[string]*corev1.Node{}, health: map[string]*health{}, retry: map[string]bool{},
			zones: zones{rates: rates{healthy: o.EvictionRate, reduced: o.SecondaryEvictionRate, large: o.LargeClusterSize, threshold: o.UnhealthyZoneThreshold}, all: map[string]*zone{}},
		}
		nodeQueue := reconcile.NewQueue(c, "node_lifecycle_controller", 8, x.syncNode)
		podQueue := reconcile.NewQueue(c, "node_lifecycle_controller_pods", 4, x.syncPod)
		if err := c.Handle(nodes.Informer(), reconcile.Events[*corev1.Node]{
			Add:    func(node *corev1.Node) { nodeQueue.Add(node.Name) },
			Update: func(_, node *corev1.Node) { nodeQueue.Add(node.Name) },
		}); err != nil {
			return err
		}
		if err := c.Handle(podInformer.Informer(), reconcile.Events[*corev1.Pod]{
			// A pod may be bound to a node that is already down.
			Add: func(pod *corev1.Pod) {
				if pod.Spec.NodeName != "" {
					podQueue.Add(podName{pod.Namespace, pod.Name})
				}
			},
			Update: func(before, pod *corev1.Pod) {
				if before.Spec.NodeName != pod.Spec.NodeName {
					podQueue.Add(podName{pod.Namespace, pod.Name})
				}
			},
		}); err != nil {
			return err
		}
		if err := c.Need(leases.Informer()); err != nil {
			return err
		}
		c.Every(o.MonitorPeriod, x.monitor)
		c.Every(taintPeriod, x.taintNext)
		return nil
	}
}

type podName struct{ namespace, name string }

// monitor is one pass over all nodes.
func (x *controller) monitor(ctx context.Context) {
	began := x.life.Clock.Now()
	all, err := x.nodes.List(labels.Everything())
	if err != nil {
		return
	}
	x.introduce(all)
	counts := map[string]count{}
	var counting sync.Mutex
	var some errgroup.Group
	some.SetLimit(atOnce)
	for _, node := range all {
		lease, _ := x.leases.Leases(corev1.NamespaceNodeLease).Get(node.Name) // without one, conditions are all there is
		h := x.health[node.Name]
		h.observe(node, lease, x.life.Clock.Now())
		some.Go(func() error {
			began := x.life.Clock.Now()
			defer func() { oneDuration.Observe(x.life.Clock.Since(began).Seconds()) }()
			before := readiness(node)
			hadCondition := conditionOf(node, corev1.NodeReady) != nil
			now, err := x.judge(ctx, node, h)
			if err != nil {
				if ctx.Err() == nil && !apierrors.IsNotFound(err) {
					x.life.Log.Warn("a node's health could not be told, trying again", "node", node.Name, "err", err)
				}
				return nil
			}
			after := readiness(now)
			counting.Lock()
			if _, exclude := node.Labels[excluded]; !exclude {
				key := topology.GetZoneKey(node)
				counts[key] = counts[key].counted(after)
			}
			again := x.retry[node.Name]
			counting.Unlock()
			x.queueTaint(ctx, now, after)
			fell := hadCondition && before == corev1.ConditionTrue && after != corev1.ConditionTrue
			if fell {
				x.events.Eventf(reference(node), corev1.EventTypeNormal, "NodeNotReady", "Node %s status is now: %s", node.Name, "NodeNotReady")
			}
			if fell || again && after != corev1.ConditionTrue {
				again = x.markPods(ctx, x.podsOf(node.Name)) != nil
			} else {
				again = false
			}
			counting.Lock()
			defer counting.Unlock()
			if again {
				x.retry[node.Name] = true
			} else {
				delete(x.retry, node.Name)
			}
			return nil
		})
	}
	_ = some.Wait()
	x.rezone(ctx, counts, all)
	allDuration.Observe(x.life.Clock.Since(began).Seconds())
}

// introduce greets new nodes and forgets those that are gone.
func (x *controller) introduce(all []*corev1.Node) {
	gone := maps.Clone(x.known)
	for _, node := range all {
		delete(gone, node.Name)
		if known := x.known[node.Name]; known == nil {
			x.events.Eventf(reference(node), corev1.EventTypeNormal, "RegisteredNode", "Node %s event: Registered Node %s in Controller", node.Name, node.Name)
			x.health[node.Name] = &health{}
		} else if known.UID != node.UID {
			x.health[node.Name] = &health{}
		}
		x.known[node.Name] = node
	}
	for name, node := range gone {
		x.events.Eventf(reference(node), corev1.EventTypeNormal, "RemovingNode", "Node %s event: Removing Node %s from Controller", name, name)
		delete(x.known, name)
		delete(x.health, name)
		delete(x.retry, name)
		x.mu.Lock()
		x.zones.of(topology.GetZoneKey(node)).remove(name)
		x.mu.Unlock()
	}
}

func reference(node *corev1.Node) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}
}

// judge makes a silent node's conditions Unknown, and returns the node as it is
// then.
func (x *controller) judge(ctx context.Context, node *corev1.Node, h *health) (*corev1.Node, error) {
	now := x.life.Clock.Now()
	if !h.silent(node, now, x.StartupGracePeriod, x.MonitorGracePeriod) {
		return node, nil
	}
	changed := node.DeepCopy()
	if !unknown(changed, metav1.NewTime(now)) {
		return node, nil
	}
	// The cache may be what is silent. Nobody is declared dead without asking.
	lease, err := x.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, node.Name, metav1.GetOptions{})
	if err == nil && lease.ResourceVersion != h.leaseAt {
		return node, nil
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	return x.client.CoreV1().Nodes().UpdateStatus(ctx, changed, metav1.UpdateOptions{})
}

// queueTaint lets a node wait for its evicting taint, or takes that off.
func (x *controller) queueTaint(ctx context.Context, node *corev1.Node, status corev1.ConditionStatus) {
	key := topology.GetZoneKey(node)
	if status != corev1.ConditionTrue && !evicting(node) {
		x.mu.Lock()
		if !x.zones.master {
			x.zones.of(key).add(node.Name)
		}
		x.mu.Unlock()
		return
	}
	if status == corev1.ConditionTrue {
		x.mu.Lock()
		x.zones.of(key).remove(node.Name)
		x.mu.Unlock()
	}
	// Taken off, or exchanged: neither evicts more than was evicted before.
	if err := x.taint(ctx, node); err != nil && ctx.Err() == nil {
		x.life.Log.Warn("a node's taints could not be changed, trying again", "node", node.Name, "err", err)
	}
}

func (x *controller) taint(ctx context.Context, node *corev1.Node) error {
	return setTaints(ctx, x.client, node, func(latest *corev1.Node) []corev1.Taint {
		return noExecute(latest, readiness(latest), metav1.NewTime(x.life.Clock.Now()))
	})
}

// taintNext taints the nodes whose turn it is.
func (x *controller) taintNext(ctx context.Context) {
	turns := map[string]string{} // node: zone
	x.mu.Lock()
	for key, zone := range x.zones.all {
		for {
			name, ok := zone.next(x.life.Clock.Now())
			if !ok {
				break
			}
			turns[name] = key
		}
	}
	x.mu.Unlock()
	for name, zone := range turns {
		node, err := x.nodes.Get(name)
		if err != nil || readiness(node) == corev1.ConditionTrue {
			continue
		}
		if err := x.taint(ctx, node); err != nil { // the next pass queues it again
			x.life.Log.Warn("a node could not be tainted, trying again", "node", name, "err", err)
			continue
		}
		evictions.WithLabelValues(zone).Inc()
	}
}

// rezone adapts the rates to how much of each zone is down.
func (x *controller) rezone(ctx context.Context, counts map[string]count, all []*corev1.Node) {
	x.mu.Lock()
	what := x.zones.update(counts, x.life.Clock.Now())
	x.mu.Unlock()
	measure(counts)
	if what.left {
		for _, h := range x.health {
			h.probed = x.life.Clock.Now()
		}
	}
	if !what.entered {
		return
	}
	x.life.Log.Warn("all nodes seem down, nothing is evicted until some are ready")
	for _, node := range all {
		if err := setTaints(ctx, x.client, node, func(latest *corev1.Node) []corev1.Taint {
			return noExecute(latest, corev1.ConditionTrue, metav1.Time{})
		}); err != nil && ctx.Err() == nil {
			x.life.Log.Warn("a node's taints could not be taken off", "node", node.Name, "err", err)
		}
	}
}
