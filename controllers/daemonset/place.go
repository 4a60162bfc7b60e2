package daemonset

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/howdah/howdah/controllers/pod"
)

// A look is one look at a DaemonSet, the nodes and its pods.
type look struct {
	ds    *appsv1.DaemonSet
	hash  string // of the present template
	nodes []*corev1.Node
	pods  map[string][]*corev1.Pod // by node; without those that ended and are going
	now   time.Time

	runs  []bool // of nodes: whether a pod should be there
	stays []bool // of nodes: whether one may stay there
}

func newLook(ds *appsv1.DaemonSet, hash string, nodes []*corev1.Node, pods []*corev1.Pod, now time.Time) *look {
	l := &look{ds: ds, hash: hash, nodes: nodes, pods: map[string][]*corev1.Pod{}, now: now, runs: make([]bool, len(nodes)), stays: make([]bool, len(nodes))}
	for _, p := range pods {
		if node := targetOf(p); node != "" && !(pod.Terminal(p) && p.DeletionTimestamp != nil) {
			l.pods[node] = append(l.pods[node], p)
		}
	}
	f := fitOf(ds)
	for i, node := range nodes {
		l.runs[i], l.stays[i] = f.on(node)
	}
	return l
}

// A change is what to do next.
type change struct {
	create []string // nodes
	remove []*corev1.Pod
	failed []*corev1.Pod // of remove: those that ended by themselves
}

func (c *change) nothing() bool { return len(c.create)+len(c.remove) == 0 }

// place puts a pod on each node that should have one, and takes it from those
// that shouldn't. hold says of a failed pod that it is too early to replace it.
func (l *look) place(hold func(node string, p *corev1.Pod) bool) (c change) {
	known := map[string]bool{}
	for i, node := range l.nodes {
		known[node.Name] = true
		there := l.pods[node.Name]
		switch {
		case l.runs[i] && len(there) == 0:
			c.create = append(c.create, node.Name)
		case l.stays[i]:
			l.tidy(node.Name, l.runs[i], hold, &c)
		default:
			c.remove = append(c.remove, living(there)...)
		}
	}
	// Pods for nodes that are gone can't be scheduled any more.
	for node, pods := range l.pods {
		if !known[node] {
			c.remove = append(c.remove, slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { return p.Spec.NodeName != "" })...)
		}
	}
	return c
}

// tidy leaves one pod on a node, or two while the new one surges beside the old.
func (l *look) tidy(node string, run bool, hold func(string, *corev1.Pod) bool, c *change) {
	var running []*corev1.Pod
	for _, p := range living(l.pods[node]) {
		switch {
		case !pod.Terminal(p):
			running = append(running, p)
		case p.Status.Phase == corev1.PodFailed && hold(node, p):
		default:
			c.remove = append(c.remove, p)
			c.failed = append(c.failed, p)
		}
	}
	bySeniority(running)
	if surge, _ := l.limits(1); surge == 0 {
		if len(running) > 1 {
			c.remove = append(c.remove, running[1:]...)
		}
		return
	}
	if len(running) == 0 && run {
		c.create = append(c.create, node)
	}
	if len(running) <= 1 {
		return
	}
	var fresh, old *corev1.Pod
	for _, p := range running {
		kept := &old
		if p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] == l.hash {
			kept = &fresh
		}
		if *kept == nil {
			*kept = p
		} else {
			c.remove = append(c.remove, p)
		}
	}
	if fresh != nil && old != nil && (!pod.Ready(old) || pod.Available(fresh, l.ds.Spec.MinReadySeconds, l.now)) {
		c.remove = append(c.remove, old)
	}
}

// roll takes a step of a rolling update.
func (l *look) roll() change {
	surge, unavailable := l.limits(l.desired())
	if l.desired() > 0 && surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	if surge == 0 {
		return l.replace(unavailable)
	}
	return l.surge(surge)
}

// replace deletes old pods: those that aren't available at once, others as far
// as the limit of unavailable ones allows.
func (l *look) replace(limit int) (c change) {
	var candidates []*corev1.Pod
	down := 0
	for _, node := range l.rolled() {
		fresh, old, ok := l.pair(node)
		switch {
		case !ok, (fresh == nil) == (old == nil):
			down++
		case fresh != nil:
			if !l.available(fresh) {
				down++
			}
		case !l.available(old):
			c.remove = append(c.remove, old)
			down++
		default:
			candidates = append(candidates, old)
		}
	}
	c.remove = append(c.remove, candidates[:max(0, min(limit-down, len(candidates)))]...)
	return c
}

// surge creates new pods beside old ones, as far as the limit allows, and
// deletes old ones whose new one is available. Old pods on nodes that should no
// longer have any go when there are enough others.
func (l *look) surge(limit int) (c change) {
	var candidates []string
	var leaving []*corev1.Pod
	surging, up := 0, 0
	for _, node := range l.rolled() {
		fresh, old, ok := l.pair(node)
		if !ok {
			surging++
			continue
		}
		if some := cmp.Or(old, fresh); some != nil && l.available(some) {
			up++
		}
		switch {
		case old == nil:
		case fresh != nil && !l.available(fresh):
			surging++
		case fresh != nil:
			c.remove = append(c.remove, old)
		case !l.runsOn(node):
			if l.available(old) {
				leaving = append(leaving, old)
			} else {
				c.remove = append(c.remove, old)
			}
		case !l.available(old):
			c.create = append(c.create, node)
		default:
			candidates = append(candidates, node)
		}
	}
	c.remove = append(c.remove, leaving[:max(0, min(up-l.desired(), len(leaving)))]...)
	c.create = append(c.create, candidates[:max(0, min(limit-surging, len(candidates)))]...)
	return c
}

// rolled are the nodes that have pods or should.
func (l *look) rolled() []string {
	var names []string
	for name := range l.pods {
		names = append(names, name)
	}
	for i, node := range l.nodes {
		if _, has := l.pods[node.Name]; l.runs[i] && !has {
			names = append(names, node.Name)
		}
	}
	slices.Sort(names)
	return names
}

// pair are a node's pods of the present template and of former ones; it isn't ok
// if there is more than one of either.
func (l *look) pair(node string) (fresh, old *corev1.Pod, ok bool) {
	for _, p := range living(l.pods[node]) {
		kept := &old
		if updated(l.ds, p, l.hash) {
			kept = &fresh
		}
		if *kept != nil {
			return nil, nil, false
		}
		*kept = p
	}
	return fresh, old, true
}

func (l *look) runsOn(name string) bool {
	i := slices.IndexFunc(l.nodes, func(n *corev1.Node) bool { return n.Name == name })
	return i >= 0 && l.runs[i]
}

func (l *look) available(p *corev1.Pod) bool {
	return pod.Available(p, l.ds.Spec.MinReadySeconds, l.now)
}

// desired is how many nodes should have a pod.
func (l *look) desired() (n int) {
	for _, run := range l.runs {
		if run {
			n++
		}
	}
	return n
}

// limits are how many pods may surge or be unavailable on that many nodes.
func (l *look) limits(nodes int) (surge, unavailable int) {
	r := l.ds.Spec.UpdateStrategy.RollingUpdate
	if l.ds.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType || r == nil {
		return 0, 0
	}
	scaled := func(value *intstr.IntOrString) int {
		n, err := intstr.GetScaledValueFromIntOrPercent(intstr.ValueOrDefault(value, intstr.FromInt32(0)), nodes, true)
		if err != nil {
			return 0 // validation let no such value in
		}
		return n
	}
	return scaled(r.MaxSurge), scaled(r.MaxUnavailable)
}

// status is what the DaemonSet is to say of itself.
func (l *look) status() appsv1.DaemonSetStatus {
	s := l.ds.Status
	s.ObservedGeneration = l.ds.Generation
	s.DesiredNumberScheduled, s.CurrentNumberScheduled, s.NumberMisscheduled = 0, 0, 0
	s.NumberReady, s.UpdatedNumberScheduled, s.NumberAvailable = 0, 0, 0
	for i, node := range l.nodes {
		there := slices.Clone(l.pods[node.Name])
		if !l.runs[i] {
			if len(there) > 0 {
				s.NumberMisscheduled++
			}
			continue
		}
		s.DesiredNumberScheduled++
		if len(there) == 0 {
			continue
		}
		s.CurrentNumberScheduled++
		bySeniority(there)
		if pod.Ready(there[0]) {
			s.NumberReady++
		}
		if l.available(there[0]) {
			s.NumberAvailable++
		}
		if updated(l.ds, there[0], l.hash) {
			s.UpdatedNumberScheduled++
		}
	}
	s.NumberUnavailable = s.DesiredNumberScheduled - s.NumberAvailable
	return s
}

func living(pods []*corev1.Pod) []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

// bySeniority puts scheduled pods before others, and the older first.
func bySeniority(pods []*corev1.Pod) {
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int {
		scheduled := func(p *corev1.Pod) int {
			if p.Spec.NodeName != "" {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(scheduled(a), scheduled(b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
}

// obituary is the event about a pod that ended by itself.
func obituary(p *corev1.Pod, node string) (kind, reason, message string) {
	if p.Status.Phase == corev1.PodFailed {
		return corev1.EventTypeWarning, "FailedDaemonPod", fmt.Sprintf("Found failed daemon pod %s/%s on node %s, will try to kill it", p.Namespace, p.Name, node)
	}
	return corev1.EventTypeNormal, "SucceededDaemonPod", fmt.Sprintf("Found succeeded daemon pod %s/%s on node %s, will try to delete it", p.Namespace, p.Name, node)
}
