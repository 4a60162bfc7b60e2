// Package scheduler gives pods their nodes: it watches pods and nodes through
// informers, decides with [placement] in the order of [queue], and binds.
//
// One goroutine decides, one pod after the other, under a lock that the
// informers' handlers take too; a decision is tens of microseconds and makes no
// call. What a decision takes of a node is taken in memory at once (the pod is
// assumed to be there), so the next one can follow while binding, in goroutines
// of its own, still waits for the API.
//
// Invariants:
//
//   - The room that a pod takes stays taken until it is certain that the pod is
//     not bound there: an answer that is lost is asked for again, by the same
//     request, as long as this process leads. No node is so given twice.
//   - A pod is in the queue, being decided, assumed, or on a node, and in no
//     other state; whatever fails leads back to the queue.
//   - Nothing is bound by a process that doesn't know to be leading
//     ([Options.Leads]).
//   - An event that comes while a pod is decided is either seen by the decision
//     or waits for the lock and then finds the pod parked, so none is missed.
//     Where the lock is released in the middle (extenders), the pod is tried
//     again rather than parked.
package scheduler
