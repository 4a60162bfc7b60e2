package main

import (
	"github.com/spf13/pflag"
	autoscaling "k8s.io/kubernetes/pkg/controller/podautoscaler/config"
)

// addAutoscalingFlags adds what HorizontalPodAutoscalers go by, in
// kube-controller-manager's names and defaults.
func addAutoscalingFlags(flags *pflag.FlagSet, c *autoscaling.HPAControllerConfiguration) {
	flags.Int32Var(&c.ConcurrentHorizontalPodAutoscalerSyncs, "concurrent-horizontal-pod-autoscaler-syncs", c.ConcurrentHorizontalPodAutoscalerSyncs, "HorizontalPodAutoscalers that are worked on at the same time")
	flags.DurationVar(&c.HorizontalPodAutoscalerSyncPeriod.Duration, "horizontal-pod-autoscaler-sync-period", c.HorizontalPodAutoscalerSyncPeriod.Duration, "pause between looks at a HorizontalPodAutoscaler's metrics")
	flags.DurationVar(&c.HorizontalPodAutoscalerDownscaleStabilizationWindow.Duration, "horizontal-pod-autoscaler-downscale-stabilization", c.HorizontalPodAutoscalerDownscaleStabilizationWindow.Duration, "how long a recommendation of more pods keeps fewer from being set, where behavior doesn't say")
	flags.Float64Var(&c.HorizontalPodAutoscalerTolerance, "horizontal-pod-autoscaler-tolerance", c.HorizontalPodAutoscalerTolerance, "by how much usage may be off its target without scaling, where behavior doesn't say; 0.1 is a tenth")
	flags.DurationVar(&c.HorizontalPodAutoscalerCPUInitializationPeriod.Duration, "horizontal-pod-autoscaler-cpu-initialization-period", c.HorizontalPodAutoscalerCPUInitializationPeriod.Duration, "how long after a pod's start its CPU usage counts only while it is ready")
	flags.DurationVar(&c.HorizontalPodAutoscalerInitialReadinessDelay.Duration, "horizontal-pod-autoscaler-initial-readiness-delay", c.HorizontalPodAutoscalerInitialReadinessDelay.Duration, "how long after a pod's start it may become unready and count as never having been ready")
}
