package main

import (
	"github.com/spf13/pflag"
	"k8s.io/kubernetes/pkg/controller/apis/config"
)

// addWorkloadFlags adds how many of each kind of workload are worked on at a
// time, by kube-controller-manager's names and defaults.
func addWorkloadFlags(flags *pflag.FlagSet, c *config.KubeControllerManagerConfiguration) {
	for _, f := range []struct {
		value      *int32
		name, what string
	}{
		{&c.DeploymentController.ConcurrentDeploymentSyncs, "deployment", "Deployments"},
		{&c.ReplicaSetController.ConcurrentRSSyncs, "replicaset", "ReplicaSets"},
		{&c.ReplicationController.ConcurrentRCSyncs, "rc", "ReplicationControllers"},
		{&c.JobController.ConcurrentJobSyncs, "job", "Jobs"},
		{&c.DaemonSetController.ConcurrentDaemonSetSyncs, "daemonset", "DaemonSets"},
		{&c.StatefulSetController.ConcurrentStatefulSetSyncs, "statefulset", "StatefulSets"},
		{&c.CronJobController.ConcurrentCronJobSyncs, "cron-job", "CronJobs"},
		{&c.DisruptionController.ConcurrentDisruptionSyncs, "disruption", "PodDisruptionBudgets"},
	} {
		flags.Int32Var(f.value, "concurrent-"+f.name+"-syncs", *f.value, f.what+" that are worked on at the same time")
	}
}
