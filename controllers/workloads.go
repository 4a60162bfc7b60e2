package controllers

import (
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"

	"github.com/howdah/howdah/controllers/autoscaling"
	"github.com/howdah/howdah/controllers/cronjob"
	"github.com/howdah/howdah/controllers/daemonset"
	"github.com/howdah/howdah/controllers/deployment"
	"github.com/howdah/howdah/controllers/disruption"
	"github.com/howdah/howdah/controllers/job"
	"github.com/howdah/howdah/controllers/replicaset"
	"github.com/howdah/howdah/controllers/statefulset"
)

// workloads are the controllers of what runs pods.
func workloads(o *Options) []row {
	c := &o.Config
	return []row{
		{
			name: names.ReplicaSetController, aliases: []string{"replicaset"},
			account: "replicaset-controller",
			setup:   replicaset.Setup(int(c.ReplicaSetController.ConcurrentRSSyncs)),
		}, {
			name: names.ReplicationControllerController, aliases: []string{"replicationcontroller"},
			account: "replication-controller",
			setup:   replicaset.SetupReplication(int(c.ReplicationController.ConcurrentRCSyncs)),
		}, {
			name: names.DeploymentController, aliases: []string{"deployment"},
			account: "deployment-controller",
			setup:   deployment.Setup(int(c.DeploymentController.ConcurrentDeploymentSyncs)),
		}, {
			name: names.JobController, aliases: []string{"job"},
			account: "job-controller",
			setup:   job.Setup(int(c.JobController.ConcurrentJobSyncs)),
		}, {
			name: names.DaemonSetController, aliases: []string{"daemonset"},
			account: "daemon-set-controller",
			setup:   daemonset.Setup(int(c.DaemonSetController.ConcurrentDaemonSetSyncs)),
		}, {
			name: names.StatefulSetController, aliases: []string{"statefulset"},
			account: "statefulset-controller",
			setup:   statefulset.Setup(int(c.StatefulSetController.ConcurrentStatefulSetSyncs)),
		}, {
			name: names.CronJobController, aliases: []string{"cronjob"},
			account: "cronjob-controller",
			setup:   cronjob.Setup(int(c.CronJobController.ConcurrentCronJobSyncs)),
		}, {
			name: names.DisruptionController, aliases: []string{"disruption"},
			account: "disruption-controller",
			setup:   disruption.Setup(int(c.DisruptionController.ConcurrentDisruptionSyncs)),
		}, {
			name: names.HorizontalPodAutoscalerController, aliases: []string{"horizontalpodautoscaling"},
			account: "horizontal-pod-autoscaler",
			setup:   autoscaling.Setup(autoscalingOptions(o)),
		},
	}
}

func autoscalingOptions(o *Options) autoscaling.Options {
	c := o.Config.HPAController
	return autoscaling.Options{
		Workers: int(c.ConcurrentHorizontalPodAutoscalerSyncs), Period: c.HorizontalPodAutoscalerSyncPeriod.Duration,
		DownscaleStabilization: c.HorizontalPodAutoscalerDownscaleStabilizationWindow.Duration, Tolerance: c.HorizontalPodAutoscalerTolerance,
		Startup: autoscaling.Startup{
			CPUInitialization: c.HorizontalPodAutoscalerCPUInitializationPeriod.Duration,
			ReadinessDelay:    c.HorizontalPodAutoscalerInitialReadinessDelay.Duration,
		},
	}
}
