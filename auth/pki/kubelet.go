package pki

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"path/filepath"

	"k8s.io/apiserver/pkg/authentication/user"
)

// kubeletClientName is what kubeadm calls the API server as a client of kubelets.
const kubeletClientName = "kube-apiserver-kubelet-client"

// ensureKubeletClient is the part of [Ensure] for calls to kubelets. Kubelets
// ask the API server what their callers may do, and its own certificate may
// everything, whatever the authorization mode is.
func (p *TLS) ensureKubeletClient(dir string) error {
	o, err := p.options, error(nil)
	switch {
	case (o.KubeletCertFile == "") != (o.KubeletKeyFile == ""):
		return errors.New("--kubelet-client-certificate and --kubelet-client-key go together")
	case o.KubeletCertFile != "":
		if p.kubelet, err = newUserCertificate(o.KubeletCertFile, o.KubeletKeyFile, p.log, o.Now); err != nil {
			return fmt.Errorf("--kubelet-client-certificate and --kubelet-client-key: %w", err)
		}
	default:
		p.kubelet, err = newOwnCertificate(filepath.Join(dir, "kubelet-client.pem"), p.authority, "kubelet client", x509.Certificate{
			Subject:     pkix.Name{CommonName: kubeletClientName, Organization: []string{user.SystemPrivilegedGroup}},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}, p.log)
	}
	return err
}

// KubeletCertificate is the client certificate of this server for kubelets.
func (p *TLS) KubeletCertificate() (*tls.Certificate, error) { return p.kubelet.certificate() }
