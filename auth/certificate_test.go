package auth

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/howdah/howdah/auth/pki/pkitest"
)

// TestCertificateExpiresOnOpenConnection: what was found out about a connection's
// certificate counts as long as the whole chain does, and under the authorities
// that it was found out with.
func TestCertificateExpiresOnOpenConnection(t *testing.T) {
	for name, lives := range map[string]struct{ leaf, between time.Duration }{
		"the certificate":  {time.Hour, 3 * time.Hour},
		"its intermediate": {3 * time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				root := pkitest.New(t, "root", 24*time.Hour)
				between := root.Subordinate(t, "between", lives.between)
				jane := pkitest.Subject("jane", x509.ExtKeyUsageClientAuth)
				jane.NotAfter = time.Now().Add(lives.leaf)
				leaf, _ := between.Sign(t, jane)
				roots := x509.NewCertPool()
				roots.AddCert(root.Certificate)
				certificates := &ClientCertificates{Roots: func() *x509.CertPool { return roots }}
				r := httptest.NewRequest("GET", "/", nil)
				r = r.WithContext(ConnContext(r.Context(), nil))
				r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf, between.Certificate}}
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
	root := pkitest.New(t, "root", 0)
	leaf, _ := root.Sign(t, pkitest.Subject("jane", x509.ExtKeyUsageClientAuth))
	roots := x509.NewCertPool()
	roots.AddCert(root.Certificate)
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
