package server

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"testing"
	"time"

	"github.com/howdah/howdah/auth"
	"github.com/howdah/howdah/auth/pki/pkitest"
)

// clientBy has a certificate of the authority, whatever the server says it wants.
func clientBy(t *testing.T, a *pkitest.Authority, template *x509.Certificate) *http.Client {
	return rawClient(t, a.Client(t, template))
}

func rawClient(t *testing.T, certificate *tls.Certificate) *http.Client {
	config := &tls.Config{InsecureSkipVerify: true}
	if certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// Headers say who is calling only when a proxy sends them: of its authority,
// with an allowed name, for clients.
func TestFrontProxyAndSmuggledHeaders(t *testing.T) {
	proxies, clients, strangers := pkitest.New(t, "proxies", 0), pkitest.New(t, "clients", 0), pkitest.New(t, "strangers", 0)
	s := start(t, Options{
		DataDir: t.TempDir(), ClientCAFile: clients.File(t),
		Authentication: auth.Options{FrontProxy: auth.FrontProxyOptions{
			ClientCAFile: proxies.File(t), AllowedNames: []string{"front"},
			UsernameHeaders: []string{"X-Remote-User", "X-Who"}, UIDHeaders: []string{"X-Remote-Uid"},
			GroupHeaders: []string{"X-Remote-Group"}, ExtraPrefixes: []string{"X-Remote-Extra-"},
		}},
	})
	client := x509.ExtKeyUsageClientAuth
	expired := pkitest.Subject("front", client)
	expired.NotAfter = time.Now().Add(-time.Minute)
	ada := http.Header{"X-Remote-User": {"ada"}, "X-Remote-Uid": {"7"}, "X-Remote-Group": {"a", "b"}}
	masters := http.Header{"X-Remote-User": {"root"}, "X-Remote-Group": {"system:masters"}}
	for name, c := range map[string]struct {
		client *http.Client
		header http.Header
		want   string
	}{
		"the proxy":                        {clientBy(t, proxies, pkitest.Subject("front", client)), ada, "ada 7 a,b,system:authenticated"},
		"its second header":                {clientBy(t, proxies, pkitest.Subject("front", client)), http.Header{"X-Who": {"bob"}}, "bob  system:authenticated"},
		"the first value counts":           {clientBy(t, proxies, pkitest.Subject("front", client)), http.Header{"X-Remote-User": {"bob", "root"}}, "bob  system:authenticated"},
		"without headers":                  {clientBy(t, proxies, pkitest.Subject("front", client)), http.Header{}, "401"},
		"another name":                     {clientBy(t, proxies, pkitest.Subject("back", client)), ada, "401"},
		"a serving certificate":            {clientBy(t, proxies, pkitest.Subject("front", x509.ExtKeyUsageServerAuth)), ada, "401"},
		"an expired certificate":           {clientBy(t, proxies, expired), ada, "401"},
		"of an unknown authority":          {clientBy(t, strangers, pkitest.Subject("front", client)), ada, "401"},
		"a client with the name":           {clientBy(t, clients, pkitest.Subject("front", client)), ada, "front  system:authenticated"},
		"a client that wants to be root":   {clientBy(t, clients, pkitest.Subject("eve", client, "ops")), masters, "eve  ops,system:authenticated"},
		"nobody":                           {rawClient(t, nil), masters, "403"},
		"a client for serving":             {clientBy(t, clients, pkitest.Subject("eve", x509.ExtKeyUsageServerAuth)), http.Header{}, "401"},
		"a client of an unknown authority": {clientBy(t, strangers, pkitest.Subject("eve", client)), http.Header{}, "401"},
		"a client without a name":          {clientBy(t, clients, pkitest.Subject("", client)), http.Header{}, "401"},
		"a bad token beside a certificate": {clientBy(t, clients, pkitest.Subject("eve", client)), http.Header{"Authorization": {"Bearer x"}}, "eve  system:authenticated"},
		"a bad token":                      {rawClient(t, nil), http.Header{"Authorization": {"Bearer x"}}, "401"},
		"a certificate for us, expired":    {clientBy(t, clients, &x509.Certificate{Subject: pkix.Name{CommonName: "eve"}, ExtKeyUsage: []x509.ExtKeyUsage{client}, NotAfter: time.Now().Add(-time.Second)}), http.Header{}, "401"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second time on the same connection, if it was kept
				if got := askRaw(t, c.client, s, c.header); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			}
		})
	}
}
