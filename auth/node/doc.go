// Package node decides the requests of kubelets: each may read what the pods of
// its own node need, and nothing of other nodes
// (https://kubernetes.io/docs/reference/access-authn-authz/node/).
//
// There is no graph that every change of every pod would have to be entered
// into. Who asks is a node, and what it runs stands in the object cache, found by
// the index of spec.nodeName: the pods of one node are few. What a pod refers to
// is kept with the cached version of the pod once it was asked for. Only the way
// from a volume claim to the secrets of its volume has an index of its own,
// [volumes].
package node
