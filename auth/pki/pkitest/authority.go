// Package pkitest makes certificates for tests.
package pkitest

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
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/util/keyutil"
)

// An Authority signs certificates.
type Authority struct {
	Certificate *x509.Certificate
	key         crypto.Signer
}

// New is an authority of its own that lives for so long; 0: an hour.
func New(t testing.TB, name string, life time.Duration) *Authority {
	t.Helper()
	return (&Authority{}).Subordinate(t, name, life)
}

// Load is the authority that a server made in the directory.
func Load(t testing.TB, dir string) *Authority {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	return &Authority{pair.Leaf, pair.PrivateKey.(crypto.Signer)}
}

// Keep is the opposite of Load: the authority is the server's at its next start.
func (a *Authority) Keep(t testing.TB, dir string) {
	t.Helper()
	key, err := keyutil.MarshalPrivateKeyToPEM(a.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"ca.crt": a.PEM(), "ca.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Subordinate is an authority that this one has signed.
func (a *Authority) Subordinate(t testing.TB, name string, life time.Duration) *Authority {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	if life != 0 {
		template.NotAfter = time.Now().Add(life)
	}
	certificate, key := a.Sign(t, template)
	return &Authority{certificate, key}
}

// Sign makes a certificate and its key. It lives for an hour unless the template
// says otherwise.
func (a *Authority) Sign(t testing.TB, template *x509.Certificate) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	if template.NotBefore = time.Now().Add(-time.Minute); template.NotBefore.After(template.NotAfter) {
		template.NotBefore = template.NotAfter.Add(-time.Minute)
	}
	parent, signer := a.Certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte { return encode(a.Certificate) }

// File keeps the authority's certificate in a file.
func (a *Authority) File(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, a.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Client is a client's certificate and its key.
func (a *Authority) Client(t testing.TB, template *x509.Certificate) *tls.Certificate {
	t.Helper()
	certificate, key := a.Sign(t, template)
	return &tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}
}

// ClientPEM is the same for files and kubeconfigs.
func (a *Authority) ClientPEM(t testing.TB, template *x509.Certificate) (certificate, key []byte) {
	t.Helper()
	made, signer := a.Sign(t, template)
	key, err := keyutil.MarshalPrivateKeyToPEM(signer)
	if err != nil {
		t.Fatal(err)
	}
	return encode(made), key
}

func encode(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}

// Subject is what to sign for somebody who uses it in that way.
func Subject(name string, usage x509.ExtKeyUsage, groups ...string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: groups}, ExtKeyUsage: []x509.ExtKeyUsage{usage}}
}
