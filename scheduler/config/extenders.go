package config

import (
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"

	"github.com/howdah/howdah/scheduler/extender"
)

// Extenders are the configuration's extenders.
func Extenders(c *config.KubeSchedulerConfiguration) ([]*extender.Extender, error) {
	var extenders []*extender.Extender
	for _, in := range c.Extenders {
		out := extender.Config{
			URLPrefix: in.URLPrefix, FilterVerb: in.FilterVerb, PrioritizeVerb: in.PrioritizeVerb, PreemptVerb: in.PreemptVerb, BindVerb: in.BindVerb,
			Weight: in.Weight, Timeout: in.HTTPTimeout.Duration, NodeCacheCapable: in.NodeCacheCapable, Ignorable: in.Ignorable,
		}
		if t := in.TLSConfig; t != nil {
			out.TLS = rest.TLSClientConfig{
				Insecure: t.Insecure, ServerName: t.ServerName, CertFile: t.CertFile, KeyFile: t.KeyFile, CAFile: t.CAFile,
				CertData: t.CertData, KeyData: t.KeyData, CAData: t.CAData,
			}
		}
		// kube-scheduler's: HTTPS without an authority of its own is not verified.
		if in.EnableHTTPS && len(out.TLS.CAFile) == 0 && len(out.TLS.CAData) == 0 {
			out.TLS.Insecure = true
		}
		for _, resource := range in.ManagedResources {
			out.ManagedResources = append(out.ManagedResources, resource.Name)
		}
		made, err := extender.New(out)
		if err != nil {
			return nil, err
		}
		extenders = append(extenders, made)
	}
	return extenders, nil
}
