package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// certificate is signed by the parent, or by itself.
func certificate(t *testing.T, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		parent, signer = template, key
	}
	template.SerialNumber, template.NotBefore = big.NewInt(1), time.Now().Add(-time.Minute)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

// TestCertificateExpiresOnOpenConnection: what was found out about a connection's
// certificate counts as long as the whole chain does, and under the authorities
// that it was found out with.
func TestCertificateExpiresOnOpenConnection(t *testing.T) {
	authority := func(name string, life time.Duration) *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(life),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	for name, lives := range map[string]struct{ leaf, between time.Duration }{
		"the certificate":  {time.Hour, 3 * time.Hour},
		"its intermediate": {3 * time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				root, rootKey := certificate(t, authority("root", 24*time.Hour), nil, nil)
				between, betweenKey := certificate(t, authority("between", lives.between), root, rootKey)
				leaf, _ := certificate(t, &x509.Certificate{
					Subject: pkix.Name{CommonName: "jane"}, NotAfter: time.Now().Add(lives.leaf), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
				}, between, betweenKey)
				roots := x509.NewCertPool()
				roots.AddCert(root)
				certificates := &ClientCertificates{Roots: func() *x509.CertPool { return roots }}
				r := httptest.NewRequest("GET", "/", nil)
				r = r.WithContext(ConnContext(r.Context(), nil))
				r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf, between}}
				ask := func() string {
					response, ok, err := certificates.AuthenticateRequest(r)
					if !ok || err != nil {
						return errorText(err)
					}
					return response.User.GetName()
				}
				for range 2 {
					if got := ask(); got != "jane" {
						t.Fatalf("at first: %s", got)
					}
				}
				time.Sleep(time.Hour - time.Second)
				if got := ask(); got != "jane" {
					t.Errorf("a second before the end: %s", got)
				}
				time.Sleep(2 * time.Second)
				if got := ask(); !strings.Contains(got, "certificate has expired or is not yet valid") {
					t.Errorf("after the end: %s", got)
				}
			})
		})
	}
	root, rootKey := certificate(t, authority("root", time.Hour), nil, nil)
	leaf, _ := certificate(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "jane"}, NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, root, rootKey)
	roots := x509.NewCertPool()
	roots.AddCert(root)
	certificates := &ClientCertificates{Roots: func() *x509.CertPool { return roots }}
	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(ConnContext(r.Context(), nil))
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	if _, ok, err := certificates.AuthenticateRequest(r); !ok || err != nil {
		t.Fatal(ok, err)
	}
	roots = x509.NewCertPool()
	if _, ok, err := certificates.AuthenticateRequest(r); ok || err == nil {
		t.Errorf("under other authorities: %t, %v", ok, err)
	}
}
