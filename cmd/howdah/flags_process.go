package main

import (
	"strings"

	"github.com/spf13/pflag"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"

	"github.com/howdah/howdah/server"
)

// processFlags are what upstream's packages keep once for a process.
type processFlags struct {
	allowPrivileged bool
	maxBytes        int64
	gates           map[string]bool
}

func (f *processFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.allowPrivileged, "allow-privileged", true, "let containers be privileged, which programs of nodes such as network plugins need; which pods may have some is for Pod Security Standards")
	flags.Int64Var(&f.maxBytes, "max-connection-bytes-per-sec", 0, "bound of each exec, attach, port-forward and proxied connection; 0: no bound")
	f.gates = map[string]bool{}
	flags.Var(cliflag.NewMapStringBool(&f.gates), "feature-gates", "NAME=true|false of features of the Kubernetes API to turn on or off. Howdah's own scheduler and controllers always do what is on by default. Gates:\n"+strings.Join(utilfeature.DefaultMutableFeatureGate.KnownFeatures(), "\n"))
}

func (f *processFlags) options() server.ProcessOptions {
	return server.ProcessOptions{NoPrivileged: !f.allowPrivileged, ConnectionBytesPerSecond: f.maxBytes, FeatureGates: f.gates}
}
