package server

import (
	"crypto/tls"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/cluster/ports"

	"github.com/howdah/howdah/server/builtin"
)

// KubeletOptions are how kubelets are called, under the names of kube-apiserver's
// flags --kubelet-*.
type KubeletOptions struct {
	ClientCertFile, ClientKeyFile string   // PEM; empty: a certificate of our own
	CAFile                        string   // authorities of kubelets; empty: kubelets are not verified
	PreferredAddressTypes         []string // of nodes; DefaultKubeletAddressTypes
	Port                          uint     // where a node doesn't name another; 10250
}

// DefaultKubeletAddressTypes are those of clusters made by kubeadm.
// kube-apiserver's own default begins with the host's name, which few networks
// resolve.
var DefaultKubeletAddressTypes = []string{string(corev1.NodeInternalIP), string(corev1.NodeExternalIP), string(corev1.NodeHostName)}

var addressTypes = []corev1.NodeAddressType{corev1.NodeHostName, corev1.NodeInternalIP, corev1.NodeExternalIP, corev1.NodeInternalDNS, corev1.NodeExternalDNS}

func (o *KubeletOptions) complete() error {
	if len(o.PreferredAddressTypes) == 0 {
		o.PreferredAddressTypes = DefaultKubeletAddressTypes
	}
	for _, t := range o.PreferredAddressTypes {
		if !slices.Contains(addressTypes, corev1.NodeAddressType(t)) {
			return fmt.Errorf("--kubelet-preferred-address-types: %q is none of %v", t, addressTypes)
		}
	}
	if o.Port == 0 {
		o.Port = ports.KubeletPort
	}
	return nil
}

func (s *Server) kubelets() builtin.Kubelet {
	o := s.options.Kubelet
	return builtin.Kubelet{
		Port: o.Port, AddressTypes: o.PreferredAddressTypes, CAFile: o.CAFile,
		Certificate: func() (*tls.Certificate, error) { return s.tls.KubeletCertificate() },
	}
}
