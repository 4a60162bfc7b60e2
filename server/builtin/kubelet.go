package builtin

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/transport"
	kubeletclient "k8s.io/kubernetes/pkg/kubelet/client"
)

// Kubelet is how kubelets are called for logs, exec, attach, port forwarding and
// the proxy of nodes.
type Kubelet struct {
	Port         uint     // where a node doesn't name another
	AddressTypes []string // of nodes, the preferred first
	// Certificate proves who this server is; nil: nothing does.
	Certificate func() (*tls.Certificate, error)
	// CAFile has the authorities of kubelets' serving certificates, read again
	// when it changes; empty: their certificates are not verified.
	CAFile string
}

// addresses is the part that upstream's storage of nodes knows how to do.
func (k Kubelet) addresses() kubeletclient.KubeletClientConfig {
	return kubeletclient.KubeletClientConfig{Port: k.Port, PreferredAddressTypes: k.AddressTypes}
}

// connections are those to the addresses that nodes find, with the credentials of k.
func (k Kubelet) connections(nodes kubeletclient.ConnectionInfoGetter) (kubeletclient.ConnectionInfoGetter, error) {
	verified, err := k.transport(k.CAFile)
	if err != nil {
		return nil, fmt.Errorf("--kubelet-certificate-authority: %w", err)
	}
	unverified, err := k.transport("")
	return &kubelets{nodes, verified, unverified}, err
}

func (k Kubelet) transport(caFile string) (http.RoundTripper, error) {
	config := &transport.Config{TLS: transport.TLSConfig{CAFile: caFile, Insecure: caFile == ""}}
	if k.Certificate != nil {
		config.TLS.GetCertHolder = &transport.GetCertHolder{GetCert: k.Certificate}
	}
	return transport.New(config)
}

// kubelets is upstream's getter with other transports: upstream's knows only
// certificates in files that are there before the server starts.
type kubelets struct {
	kubeletclient.ConnectionInfoGetter
	verified, unverified http.RoundTripper
}

func (k *kubelets) GetConnectionInfo(ctx context.Context, node types.NodeName) (*kubeletclient.ConnectionInfo, error) {
	info, err := k.ConnectionInfoGetter.GetConnectionInfo(ctx, node)
	if err != nil {
		return nil, err
	}
	info.Transport, info.InsecureSkipTLSVerifyTransport = k.verified, k.unverified
	return info, nil
}
