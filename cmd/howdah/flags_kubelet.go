package main

import (
	"github.com/spf13/pflag"

	"github.com/howdah/howdah/server"
)

// kubeletFlags are kube-apiserver's flags for its calls to kubelets.
type kubeletFlags struct{ kubelet server.KubeletOptions }

func (f *kubeletFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.kubelet.PreferredAddressTypes, "kubelet-preferred-address-types", server.DefaultKubeletAddressTypes, "types of nodes' addresses by which kubelets are called, the preferred first")
	flags.StringVar(&f.kubelet.ClientCertFile, "kubelet-client-certificate", "", "client certificate (PEM) for calls to kubelets; read again when it changes. By default the server makes its own, signed by the cluster's authority and in the group system:masters")
	flags.StringVar(&f.kubelet.ClientKeyFile, "kubelet-client-key", "", "private key of --kubelet-client-certificate")
	flags.StringVar(&f.kubelet.CAFile, "kubelet-certificate-authority", "", "authorities (PEM) of kubelets' serving certificates; read again when it changes. By default these certificates are not verified")
	flags.UintVar(&f.kubelet.Port, "kubelet-port", 0, "port of kubelets whose nodes don't name one; 0: 10250")
	_ = flags.MarkDeprecated("kubelet-port", "kubelet-port is deprecated and will be removed.")
}
