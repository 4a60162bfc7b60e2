package server

import (
	"crypto/x509"

	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/kubernetes/pkg/controlplane/controller/clusterauthenticationtrust"
)

// trust is whom this server believes who they are, for API servers behind it to
// believe too. They read it from the config map
// kube-system/extension-apiserver-authentication.
func (s *Server) trust() clusterauthenticationtrust.ClusterAuthenticationInfo {
	o := s.options.Authentication.FrontProxy
	info := clusterauthenticationtrust.ClusterAuthenticationInfo{
		ClientCA: bundle{"client-ca", func() []byte { return s.tls.ClientCAsPEM() }},
	}
	if o.ClientCAFile != "" || s.options.ownFrontProxy {
		info.RequestHeaderCA = bundle{"request-header", func() []byte { return s.tls.ProxyCAsPEM() }}
		info.RequestHeaderAllowedNames = headerrequest.StaticStringSlice(o.AllowedNames)
		info.RequestHeaderUsernameHeaders = headerrequest.StaticStringSlice(o.UsernameHeaders)
		info.RequestHeaderUIDHeaders = headerrequest.StaticStringSlice(o.UIDHeaders)
		info.RequestHeaderGroupHeaders = headerrequest.StaticStringSlice(o.GroupHeaders)
		info.RequestHeaderExtraHeaderPrefixes = headerrequest.StaticStringSlice(o.ExtraPrefixes)
	}
	return info
}

// A bundle gives authorities to upstream's controller. Changed files are noticed
// when they are next read, so nobody is told.
type bundle struct {
	name string
	pem  func() []byte
}

var _ dynamiccertificates.CAContentProvider = bundle{}

func (b bundle) Name() string                             { return b.name }
func (b bundle) CurrentCABundleContent() []byte           { return b.pem() }
func (b bundle) AddListener(dynamiccertificates.Listener) {}
func (b bundle) VerifyOptions() (x509.VerifyOptions, bool) {
	roots := x509.NewCertPool()
	ok := roots.AppendCertsFromPEM(b.pem())
	return x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ok
}
