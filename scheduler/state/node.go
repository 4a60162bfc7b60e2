package state

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	declared "k8s.io/component-helpers/nodedeclaredfeatures"
)

// A Node is a node with the pods on it.
type Node struct {
	Obj *corev1.Node // nil while only pods tell of the node

	Pods                 []*Pod
	WithAffinity         []*Pod // those that say something of other pods
	WithRequiredAntiPods []*Pod // those that refuse other pods

	Allocatable Resources
	Requested   Resources
	// What is requested counting something for containers that request nothing.
	ScoredMilliCPU, ScoredMemory int64

	Ports    []HostPort
	Claims   map[string]int // how many pods on the node name a claim; may be nil
	Features declared.FeatureSet

	index int // in the cluster's array, or -1
}

func (n *Node) setObject(obj *corev1.Node) {
	n.Obj = obj
	n.Allocatable = NewResources(obj.Status.Allocatable)
	n.Features = declared.DefaultFramework.TryMap(obj.Status.DeclaredFeatures)
}

// Name is the node's name.
func (n *Node) Name() string { return n.Obj.Name }

// Index is the node's place in [Cluster.Nodes].
func (n *Node) Index() int { return n.index }

// Add puts a pod on the node.
func (n *Node) Add(pod *Pod) {
	n.Pods = append(n.Pods, pod)
	if pod.HasAffinity() {
		n.WithAffinity = append(n.WithAffinity, pod)
	}
	if len(pod.RequiredAntiAffinity) > 0 {
		n.WithRequiredAntiPods = append(n.WithRequiredAntiPods, pod)
	}
	n.Requested.add(&pod.Uses, 1)
	n.ScoredMilliCPU += pod.ScoredMilliCPU
	n.ScoredMemory += pod.ScoredMemory
	n.Ports = append(n.Ports, pod.Ports...)
	for _, claim := range pod.Claims {
		if n.Claims == nil {
			n.Claims = map[string]int{}
		}
		n.Claims[claim]++
	}
}

// Remove takes a pod off the node, by its UID. It returns what was there, or
// nil.
func (n *Node) Remove(uid types.UID) *Pod {
	i := slices.IndexFunc(n.Pods, func(p *Pod) bool { return p.Obj.UID == uid })
	if i < 0 {
		return nil
	}
	pod := n.Pods[i]
	n.Pods = slices.Delete(n.Pods, i, i+1)
	if pod.HasAffinity() {
		n.WithAffinity = without(n.WithAffinity, pod)
	}
	if len(pod.RequiredAntiAffinity) > 0 {
		n.WithRequiredAntiPods = without(n.WithRequiredAntiPods, pod)
	}
	n.Requested.add(&pod.Uses, -1)
	n.ScoredMilliCPU -= pod.ScoredMilliCPU
	n.ScoredMemory -= pod.ScoredMemory
	for _, port := range pod.Ports {
		if i := slices.Index(n.Ports, port); i >= 0 {
			n.Ports = slices.Delete(n.Ports, i, i+1)
		}
	}
	for _, claim := range pod.Claims {
		if n.Claims[claim]--; n.Claims[claim] <= 0 {
			delete(n.Claims, claim)
		}
	}
	return pod
}

// swap puts one pod in the place of another that takes the same room.
func (n *Node) swap(old, pod *Pod) {
	for _, list := range [][]*Pod{n.Pods, n.WithAffinity, n.WithRequiredAntiPods} {
		if i := slices.Index(list, old); i >= 0 {
			list[i] = pod
		}
	}
}

// Clone is a node that changes by itself, for asking what if.
func (n *Node) Clone() *Node {
	c := *n
	c.Pods, c.WithAffinity, c.WithRequiredAntiPods = slices.Clone(n.Pods), slices.Clone(n.WithAffinity), slices.Clone(n.WithRequiredAntiPods)
	c.Allocatable, c.Requested = n.Allocatable.clone(), n.Requested.clone()
	c.Ports, c.Claims = slices.Clone(n.Ports), maps.Clone(n.Claims)
	return &c
}

func without(pods []*Pod, pod *Pod) []*Pod {
	if i := slices.Index(pods, pod); i >= 0 {
		return slices.Delete(pods, i, i+1)
	}
	return pods
}
