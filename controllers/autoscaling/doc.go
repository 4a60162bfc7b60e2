// Package autoscaling keeps the number of pods of what a HorizontalPodAutoscaler
// targets as its metrics ask
// (https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/).
//
// Every period, for each autoscaler: the target's scale is read; each metric is
// read from the metrics APIs and proposes a number (replicas.go), the highest
// counts; it is held back by what was recommended and done of late (history.go)
// and bounded by policies and limits (limits.go); and the scale is written.
package autoscaling
