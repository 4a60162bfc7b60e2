package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func newAuthority(t *testing.T, end time.Time) (Signer, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: end.Add(-10 * 365 * 24 * time.Hour), NotAfter: end, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s := Signer{filepath.Join(t.TempDir(), "ca.crt"), filepath.Join(t.TempDir(), "ca.key")}
	for file, block := range map[string]*pem.Block{s.CertFile: {Type: "CERTIFICATE", Bytes: der}, s.KeyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return s, parsed
}

func TestSign(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	signer, authority := newAuthority(t, now.Add(30*24*time.Hour))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:node:a", Organization: []string{"system:nodes"}}, DNSNames: []string{"a"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	asked, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	for lifetime, want := range map[time.Duration]time.Time{
		time.Hour:            now.Add(time.Hour),
		24 * time.Hour:       now.Add(24*time.Hour - backdate),
		365 * 24 * time.Hour: authority.NotAfter.Local().Truncate(time.Second),
	} {
		certPEM, err := signer.sign(asked, []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}, lifetime, now)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(certPEM)
		got, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !got.NotAfter.Equal(want) || !got.NotBefore.Equal(now.Add(-backdate)) || got.IsCA || got.KeyUsage != x509.KeyUsageDigitalSignature ||
			len(got.ExtKeyUsage) != 1 || got.Subject.CommonName != "system:node:a" || got.DNSNames[0] != "a" || got.CheckSignatureFrom(authority) != nil {
			t.Errorf("%v: ends %v, want %v; %+v", lifetime, got.NotAfter, want, got.Subject)
		}
	}
	if _, err := signer.sign(asked, []certificatesv1.KeyUsage{"odd"}, time.Hour, now); err == nil {
		t.Error("an unknown usage is signed")
	}
	if _, err := signer.sign(asked, nil, time.Hour, now.Add(31*24*time.Hour)); err == nil {
		t.Error("an authority that has expired signs")
	}
}

func TestLifetime(t *testing.T) {
	s := Signers{Lifetime: 24 * time.Hour}
	seconds := func(n int32) *int32 { return &n }
	for asked, want := range map[*int32]time.Duration{nil: 24 * time.Hour, seconds(3600): time.Hour, seconds(1): 10 * time.Minute, seconds(1 << 30): 24 * time.Hour} {
		if got := s.lifetime(asked); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

func TestClientUsages(t *testing.T) {
	for _, c := range []struct {
		usages []certificatesv1.KeyUsage
		ok     bool
	}{
		{[]certificatesv1.KeyUsage{certificatesv1.UsageClientAuth}, true},
		{[]certificatesv1.KeyUsage{certificatesv1.UsageClientAuth, certificatesv1.UsageDigitalSignature}, true},
		{[]certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature}, false},
		{[]certificatesv1.KeyUsage{certificatesv1.UsageClientAuth, certificatesv1.UsageServerAuth}, false},
	} {
		if err := clientUsages(c.usages); (err == nil) != c.ok {
			t.Errorf("%v: %v", c.usages, err)
		}
	}
}

func TestStale(t *testing.T) {
	now := time.Now()
	request := func(age time.Duration, certificate string, kinds ...certificatesv1.RequestConditionType) *certificatesv1.CertificateSigningRequest {
		r := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now.Add(-age))}}
		r.Status.Certificate = []byte(certificate)
		for _, kind := range kinds {
			r.Status.Conditions = append(r.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: kind, LastUpdateTime: metav1.NewTime(now.Add(-age))})
		}
		return r
	}
	for name, c := range map[string]struct {
		request *certificatesv1.CertificateSigningRequest
		want    bool
	}{
		"pending":               {request(23*time.Hour, ""), false},
		"pending for long":      {request(25*time.Hour, ""), true},
		"approved, not issued":  {request(25*time.Hour, "", certificatesv1.CertificateApproved), false},
		"issued":                {request(30*time.Minute, "x", certificatesv1.CertificateApproved), false},
		"issued long ago":       {request(2*time.Hour, "x", certificatesv1.CertificateApproved), true},
		"denied":                {request(30*time.Minute, "", certificatesv1.CertificateDenied), false},
		"denied long ago":       {request(2*time.Hour, "", certificatesv1.CertificateDenied), true},
		"failed after approval": {request(2*time.Hour, "", certificatesv1.CertificateApproved, certificatesv1.CertificateFailed), true},
	} {
		if got := stale(c.request, now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestOverdue(t *testing.T) {
	now := time.Now()
	for age, want := range map[time.Duration]bool{0: false, 14*time.Minute + 59*time.Second: false, 15 * time.Minute: true, time.Hour: true, -time.Minute: false} {
		request := &certificatesv1.PodCertificateRequest{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now.Add(-age))}}
		if got := overdue(request, now); got != want {
			t.Errorf("after %v: %v", age, got)
		}
	}
}
