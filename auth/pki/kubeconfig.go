package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// adminName is what kubeadm calls the administrator.
const adminName = "kubernetes-admin"

// WriteAdminKubeconfig writes DIR/admin.kubeconfig for a server that listens
// on port and returns its path. What is there stays if it still works: people
// copy the file.
func (p *TLS) WriteAdminKubeconfig(port int) (string, error) {
	file := filepath.Join(p.options.Dir, "admin.kubeconfig")
	cluster, err := p.cluster(port)
	if err != nil {
		return "", err
	}
	if kept, err := clientcmd.LoadFromFile(file); err == nil && p.works(kept, cluster) {
		return file, nil
	}
	certPEM, keyPEM, err := p.authority.issue(x509.Certificate{
		Subject:     pkix.Name{CommonName: adminName, Organization: []string{user.SystemPrivilegedGroup}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return "", fmt.Errorf("make the administrator's certificate: %w", err)
	}
	const clusterName, context = "howdah", adminName + "@howdah"
	data, err := clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{clusterName: cluster},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{adminName: {ClientCertificateData: certPEM, ClientKeyData: keyPEM}},
		Contexts:       map[string]*clientcmdapi.Context{context: {Cluster: clusterName, AuthInfo: adminName}},
		CurrentContext: context,
	})
	if err != nil {
		return "", fmt.Errorf("make the administrator's kubeconfig: %w", err)
	}
	return file, replace(file, data)
}

// cluster says how the administrator reaches this server and knows it.
func (p *TLS) cluster(port int) (*clientcmdapi.Cluster, error) {
	host := "127.0.0.1"
	if bind := p.options.BindAddress; bind != nil && !bind.IsUnspecified() {
		host = bind.String()
	}
	cluster := &clientcmdapi.Cluster{
		Server:                   "https://" + net.JoinHostPort(host, strconv.Itoa(port)),
		CertificateAuthorityData: p.authority.certPEM,
	}
	if p.options.CertFile == "" {
		return cluster, nil
	}
	serving, err := p.serving.certificate()
	if err != nil {
		return nil, err
	}
	leaf := serving.Leaf
	if leaf.VerifyHostname(host) != nil && len(leaf.DNSNames) > 0 {
		cluster.TLSServerName = leaf.DNSNames[0]
	}
	cluster.CertificateAuthorityData = trustAnchors(serving)
	return cluster, nil
}

// AuthorityFiles are where this server keeps its authority's certificate and key,
// in PEM.
func (p *TLS) AuthorityFiles() (cert, key string) {
	return clusterRole.files(filepath.Join(p.options.Dir, "pki"))
}

// RootCA are the certificates, in PEM, by which clients trust this server. It is
// empty if the system's authorities vouch for the user's certificate.
func (p *TLS) RootCA() ([]byte, error) {
	if p.options.CertFile == "" {
		return p.authority.certPEM, nil
	}
	serving, err := p.serving.certificate()
	if err != nil {
		return nil, err
	}
	return trustAnchors(serving), nil
}

// trustAnchors are what a client must trust to accept the user's serving
// certificate: nothing if the system's authorities vouch for it, else the
// authorities that came with it, else the certificate itself.
func trustAnchors(serving *tls.Certificate) []byte {
	intermediates := x509.NewCertPool()
	var authorities bytes.Buffer
	for _, der := range serving.Certificate[1:] {
		if authority, err := x509.ParseCertificate(der); err == nil {
			intermediates.AddCert(authority)
			authorities.Write(encodeCert(der))
		}
	}
	if _, err := serving.Leaf.Verify(x509.VerifyOptions{Intermediates: intermediates}); err == nil {
		return nil
	}
	if authorities.Len() > 0 {
		return authorities.Bytes()
	}
	return encodeCert(serving.Leaf.Raw)
}

func (p *TLS) works(kept *clientcmdapi.Config, want *clientcmdapi.Cluster) bool {
	context := kept.Contexts[kept.CurrentContext]
	if context == nil {
		return false
	}
	cluster, admin := kept.Clusters[context.Cluster], kept.AuthInfos[context.AuthInfo]
	if cluster == nil || admin == nil {
		return false
	}
	pair, err := tls.X509KeyPair(admin.ClientCertificateData, admin.ClientKeyData)
	return err == nil && p.authority.fresh(pair.Leaf) &&
		cluster.Server == want.Server &&
		cluster.TLSServerName == want.TLSServerName &&
		bytes.Equal(cluster.CertificateAuthorityData, want.CertificateAuthorityData)
}
