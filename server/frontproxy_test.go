package server

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/howdah/howdah/auth"
)

// testAuthority signs certificates for tests.
type testAuthority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newTestAuthority(t *testing.T, name string) *testAuthority {
	a := &testAuthority{}
	a.cert, a.key = a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *testAuthority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	template.NotBefore = template.NotAfter.Add(-2 * time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// file keeps the authority's certificate in a file.
func (a *testAuthority) file(t *testing.T) string {
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// client has a certificate of the authority, whatever the server says it wants.
func (a *testAuthority) client(t *testing.T, template *x509.Certificate) *http.Client {
	cert, key := a.sign(t, template)
	return rawClient(t, &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key})
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

func subject(name string, usage x509.ExtKeyUsage, groups ...string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: groups}, ExtKeyUsage: []x509.ExtKeyUsage{usage}}
}

// Headers say who is calling only when a proxy sends them: of its authority,
// with an allowed name, for clients.
func TestFrontProxyAndSmuggledHeaders(t *testing.T) {
	proxies, clients, strangers := newTestAuthority(t, "proxies"), newTestAuthority(t, "clients"), newTestAuthority(t, "strangers")
	s := start(t, Options{
		DataDir: t.TempDir(), ClientCAFile: clients.file(t),
		Authentication: auth.Options{FrontProxy: auth.FrontProxyOptions{
			ClientCAFile: proxies.file(t), AllowedNames: []string{"front"},
			UsernameHeaders: []string{"X-Remote-User", "X-Who"}, UIDHeaders: []string{"X-Remote-Uid"},
			GroupHeaders: []string{"X-Remote-Group"}, ExtraPrefixes: []string{"X-Remote-Extra-"},
		}},
	})
	client := x509.ExtKeyUsageClientAuth
	expired := subject("front", client)
	expired.NotAfter = time.Now().Add(-time.Minute)
	ada := http.Header{"X-Remote-User": {"ada"}, "X-Remote-Uid": {"7"}, "X-Remote-Group": {"a", "b"}}
	masters := http.Header{"X-Remote-User": {"root"}, "X-Remote-Group": {"system:masters"}}
	for name, c := range map[string]struct {
		client *http.Client
		header http.Header
		want   string
	}{
		"the proxy":                        {proxies.client(t, subject("front", client)), ada, "ada 7 a,b,system:authenticated"},
		"its second header":                {proxies.client(t, subject("front", client)), http.Header{"X-Who": {"bob"}}, "bob  system:authenticated"},
		"the first value counts":           {proxies.client(t, subject("front", client)), http.Header{"X-Remote-User": {"bob", "root"}}, "bob  system:authenticated"},
		"without headers":                  {proxies.client(t, subject("front", client)), http.Header{}, "401"},
		"another name":                     {proxies.client(t, subject("back", client)), ada, "401"},
		"a serving certificate":            {proxies.client(t, subject("front", x509.ExtKeyUsageServerAuth)), ada, "401"},
		"an expired certificate":           {proxies.client(t, expired), ada, "401"},
		"of an unknown authority":          {strangers.client(t, subject("front", client)), ada, "401"},
		"a client with the name":           {clients.client(t, subject("front", client)), ada, "front  system:authenticated"},
		"a client that wants to be root":   {clients.client(t, subject("eve", client, "ops")), masters, "eve  ops,system:authenticated"},
		"nobody":                           {rawClient(t, nil), masters, "403"},
		"a client for serving":             {clients.client(t, subject("eve", x509.ExtKeyUsageServerAuth)), http.Header{}, "401"},
		"a client of an unknown authority": {strangers.client(t, subject("eve", client)), http.Header{}, "401"},
		"a client without a name":          {clients.client(t, subject("", client)), http.Header{}, "401"},
		"a bad token beside a certificate": {clients.client(t, subject("eve", client)), http.Header{"Authorization": {"Bearer x"}}, "eve  system:authenticated"},
		"a bad token":                      {rawClient(t, nil), http.Header{"Authorization": {"Bearer x"}}, "401"},
		"a certificate for us, expired":    {clients.client(t, &x509.Certificate{Subject: pkix.Name{CommonName: "eve"}, ExtKeyUsage: []x509.ExtKeyUsage{client}, NotAfter: time.Now().Add(-time.Second)}), http.Header{}, "401"},
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
