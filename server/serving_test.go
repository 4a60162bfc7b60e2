package server

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/howdah/howdah/auth/pki"
	"github.com/howdah/howdah/auth/pki/pkitest"
)

// TestServing: who asks for a name gets its certificate, by the versions and
// suites of TLS that are allowed.
func TestServing(t *testing.T) {
	t.Parallel()
	site := pkitest.Subject("site", x509.ExtKeyUsageServerAuth)
	site.DNSNames = []string{"site.example.org", "*.wild.example.org"}
	certificate, key := pkitest.New(t, "sites", 0).ClientPEM(t, site)
	dir := t.TempDir()
	named := pki.NamedCertificate{CertFile: filepath.Join(dir, "site.crt"), KeyFile: filepath.Join(dir, "site.key")}
	for file, content := range map[string][]byte{named.CertFile: certificate, named.KeyFile: key} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const suite, another = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
	s := start(t, Options{DataDir: t.TempDir(), Serving: ServingOptions{SNI: []pki.NamedCertificate{named}, Protocol: pki.Protocol{CipherSuites: []uint16{suite}}}})
	for what, c := range map[string]struct {
		config *tls.Config
		want   string // whose certificate; empty: none
	}{
		"its name":             {&tls.Config{ServerName: "site.example.org"}, "site"},
		"a name of a wildcard": {&tls.Config{ServerName: "a.wild.example.org"}, "site"},
		"another name":         {&tls.Config{ServerName: "kubernetes"}, "howdah"},
		"TLS 1.2":              {&tls.Config{ServerName: "site.example.org", MaxVersion: tls.VersionTLS12}, "site"},
		"TLS 1.1":              {&tls.Config{ServerName: "site.example.org", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, ""},
		"its suite":            {&tls.Config{ServerName: "site.example.org", MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}}, "site"},
		"another suite":        {&tls.Config{ServerName: "site.example.org", MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{another}}, ""},
	} {
		c.config.InsecureSkipVerify = true
		got := ""
		if conn, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port())), c.config); err == nil {
			got = conn.ConnectionState().PeerCertificates[0].Subject.CommonName
			conn.Close()
		}
		if got != c.want {
			t.Errorf("%s: the certificate is %q, want %q", what, got, c.want)
		}
	}
}
