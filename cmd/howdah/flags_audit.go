package main

import (
	"github.com/spf13/pflag"
	"k8s.io/apiserver/pkg/server/options"
)

// auditFlags are kube-apiserver's flags for the audit log.
type auditFlags struct{ audit *options.AuditOptions }

func (f *auditFlags) add(flags *pflag.FlagSet) {
	f.audit = options.NewAuditOptions()
	f.audit.AddFlags(flags)
}
