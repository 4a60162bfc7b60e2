// Package placement owns the decision which node a pod goes to: filters, scores
// and preemption with kube-scheduler's plugin names, weights, reasons and
// results
// (https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins).
//
// It decides from a [state.Cluster] and nothing else: no goroutines, no clock,
// no I/O. What it needs to know of other objects (claims, devices, workloads)
// comes through the interfaces [Plugin] and [Workloads].
//
// What makes it fast is that it works out little twice. How a node takes a pod
// depends, for most plugins, on the node and on the pod's shape alone; so each
// shape ([state.Pod.Shape]) keeps a row for every node, and a decision renews
// only the rows of nodes that changed. What depends on other pods (affinity
// between pods, spreading) is kept as counts by pods of the same kin
// ([state.Pod.Kin]), to which a change of one pod is an addition. A decision is
// then a pass over arrays.
package placement
