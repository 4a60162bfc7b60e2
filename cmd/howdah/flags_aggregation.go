package main

import (
	"github.com/spf13/pflag"

	"github.com/howdah/howdah/server"
)

// aggregationFlags are kube-apiserver's flags for API servers behind this one.
type aggregationFlags struct{ aggregation server.AggregationOptions }

func (f *aggregationFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.aggregation.ProxyClientCertFile, "proxy-client-cert-file", "", "client certificate (PEM) with which this server tells aggregated API servers that it is the front proxy they trust; read again when it changes. Without it and without --requestheader-client-ca-file the server makes both")
	flags.StringVar(&f.aggregation.ProxyClientKeyFile, "proxy-client-key-file", "", "private key of --proxy-client-cert-file")
}
