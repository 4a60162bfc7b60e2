package main

import (
	"github.com/spf13/pflag"

	"github.com/howdah/howdah/server"
)

// limitFlags are kube-apiserver's flags about load and looking into it.
type limitFlags struct {
	limits    server.LimitOptions
	profiling bool
}

func (f *limitFlags) add(flags *pflag.FlagSet) {
	f.limits = server.DefaultLimits()
	flags.BoolVar(&f.limits.Fairness, "enable-priority-and-fairness", true, "share the server between callers as FlowSchemas and PriorityLevelConfigurations say; false: only limit requests in flight")
	flags.IntVar(&f.limits.Requests, "max-requests-inflight", f.limits.Requests, "with --max-mutating-requests-inflight: how many requests are served at a time; without priority and fairness the limit of non-mutating ones, 0 for none")
	flags.IntVar(&f.limits.MutatingRequests, "max-mutating-requests-inflight", f.limits.MutatingRequests, "with --max-requests-inflight: how many requests are served at a time; without priority and fairness the limit of mutating ones, 0 for none")
	flags.Float64Var(&f.limits.GoawayChance, "goaway-chance", 0, "how likely an HTTP/2 request is to have its client connect again, 0 to 0.02, so that clients spread over servers behind a load balancer")
	flags.BoolVar(&f.profiling, "profiling", true, "serve profiles below /debug/pprof/")
}
