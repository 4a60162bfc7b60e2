package pki

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// handshake returns what a client and the server agree on.
func handshake(t *testing.T, port int, config *tls.Config) (*tls.ConnectionState, error) {
	t.Helper()
	config.InsecureSkipVerify = true // it is looked at below
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), config)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	state := conn.ConnectionState()
	return &state, nil
}

func TestSNI(t *testing.T) {
	theirs, dir := must(newAuthority("howdah-ca", must(newKey()), time.Now)), t.TempDir()
	bring := func(file, common string, names ...string) NamedCertificate {
		t.Helper()
		certPEM, keyPEM, err := theirs.issue(x509.Certificate{Subject: pkix.Name{CommonName: common, Organization: []string{file}}, DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		if err != nil {
			t.Fatal(err)
		}
		c := NamedCertificate{CertFile: filepath.Join(dir, file+".crt"), KeyFile: filepath.Join(dir, file+".key")}
		for name, data := range map[string][]byte{c.CertFile: certPEM, c.KeyFile: keyPEM} {
			if err := replace(name, data); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	named := func(c NamedCertificate, names ...string) NamedCertificate {
		c.Names = names
		return c
	}
	var offset atomic.Int64
	p := ensure(t, Options{
		Dir: t.TempDir(),
		Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) },
		SNI: []NamedCertificate{
			bring("extracted", "common.example.org", "a.example.org", "*.wild.example.org"),
			bring("later", "x", "a.example.org", "b.example.org"),
			named(bring("explicit", "x", "c.example.org"), "b.example.org", "*.example.net", "127.0.0.9"),
			named(bring("more", "x", "d.example.org"), "z.example.net"),
		},
	})
	port := serve(t, p)
	served := func(name string) string {
		t.Helper()
		state, err := handshake(t, port, &tls.Config{ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(state.PeerCertificates[0].Subject.Organization, "")
	}
	for name, want := range map[string]string{
		"a.example.org": "extracted", "A.EXAMPLE.org": "extracted", "x.wild.example.org": "extracted", "common.example.org": "extracted",
		"b.example.org": "explicit", "q.example.net": "explicit", "z.example.net": "more", "x.q.example.net": "",
		"c.example.org": "explicit", "d.example.org": "more", // the default doesn't fit
		"localhost": "", "elsewhere.org": "", "": "",
	} {
		if got := served(name); got != want {
			t.Errorf("for %q %q is served, want %q", name, got, want)
		}
	}
	// A connection to an address that is a name, without asking for one.
	listener, err := tls.Listen("tcp", "127.0.0.9:0", p.ServerTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	conn, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.ConnectionState().PeerCertificates[0].Subject.Organization; len(got) != 1 || got[0] != "explicit" {
		t.Errorf("at an address with a certificate %v is served", got)
	}
	conn.Close()

	bring("extracted", "x", "e.example.org")
	offset.Add(int64(recheck))
	if got := served("e.example.org"); got != "extracted" {
		t.Errorf("the changed certificate was not loaded: %q", got)
	}
	if got := served("a.example.org"); got != "later" {
		t.Errorf("the name that changed hands is served by %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "later.key"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	offset.Add(int64(recheck))
	if got := served("a.example.org"); got != "later" {
		t.Errorf("with a damaged file %q is served", got)
	}
	_, err = Ensure(t.Context(), Options{Dir: t.TempDir(), SNI: []NamedCertificate{{CertFile: "none", KeyFile: "none"}}})
	if err == nil || !strings.Contains(err.Error(), "failed to load SNI cert and key") {
		t.Errorf("missing files: %v", err)
	}
}

func TestProtocol(t *testing.T) {
	suite := tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	for name, c := range map[string]struct {
		server Protocol
		client *tls.Config
		want   string // the error; empty: none
	}{
		"default":            {Protocol{}, &tls.Config{}, ""},
		"TLS 1.2":            {Protocol{}, &tls.Config{MaxVersion: tls.VersionTLS12}, ""},
		"TLS 1.1":            {Protocol{}, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "protocol version"},
		"1.1 is never less":  {Protocol{MinVersion: tls.VersionTLS10}, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "protocol version"},
		"1.3 only":           {Protocol{MinVersion: tls.VersionTLS13}, &tls.Config{MaxVersion: tls.VersionTLS12}, "protocol version"},
		"suite":              {Protocol{CipherSuites: []uint16{suite}}, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}}, ""},
		"another suite":      {Protocol{CipherSuites: []uint16{suite}}, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}}, "handshake failure"},
		"curve":              {Protocol{CurvePreferences: []tls.CurveID{tls.CurveP384}}, &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP384}}, ""},
		"another curve":      {Protocol{CurvePreferences: []tls.CurveID{tls.CurveP384}}, &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}}, "handshake failure"},
		"HTTP/2 is proposed": {Protocol{}, &tls.Config{NextProtos: []string{"h2"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := ensure(t, Options{Dir: t.TempDir(), Protocol: c.server})
			state, err := handshake(t, serve(t, p), c.client)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			case err == nil && len(c.client.NextProtos) > 0 && state.NegotiatedProtocol != "h2":
				t.Errorf("negotiated %q", state.NegotiatedProtocol)
			}
		})
	}
}
