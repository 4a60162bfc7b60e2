// Package queue owns which pod is decided next. A pod that waits is in one of
// these states:
//
//	active         to be decided, by priority and then by how long it waits
//	backoff        to be decided again once its backoff is over, or earlier when
//	               nothing is active
//	error backoff  the same after an attempt that failed for no fault of the pod
//	unschedulable  no node took it; waits for an event that may help
//	gated          may not be decided yet
//
// and a pod that was taken with [Queue.Pop] is in none: the caller decides it
// and gives it back with [Queue.Park] or [Queue.Retry], or forgets it with
// [Queue.Delete]. A pod is never in two states and none is lost: what is
// deleted meanwhile stays deleted, since giving back checks for it.
//
// The rules are kube-scheduler's: backoff doubles from 1 s to 10 s with each
// attempt, and what no event helps for 5 minutes is tried again
// (https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/#queuing-and-requeueing).
//
// The queue has no goroutine, no lock and no clock: the caller passes the time
// and doesn't call it concurrently.
package queue
