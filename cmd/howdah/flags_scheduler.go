package main

import "github.com/spf13/pflag"

// schedulerFlags say how the scheduler runs inside howdah server.
type schedulerFlags struct {
	run    bool
	config string
}

func (f *schedulerFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.run, "scheduler", true, "schedule pods in this server, when it leads; off if only howdah scheduler or another scheduler shall")
	flags.StringVar(&f.config, "scheduler-config", "", "file with a KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1)")
}
