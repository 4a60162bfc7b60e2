// Package nodelifecycle follows the nodes' heartbeats and says what follows from
// them: conditions of a node that is silent become Unknown, its pods not ready;
// conditions become taints, those that evict at a rate that depends on how much
// of a zone is down
// (https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller).
//
// What a pass over the nodes decides is in health.go and zones.go, without I/O;
// the other files carry it out.
package nodelifecycle
