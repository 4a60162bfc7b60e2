package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// NamedCertificate is a serving certificate for those who ask for one of its
// names.
type NamedCertificate struct {
	CertFile, KeyFile string
	// Names may begin with *. for one label, and may be addresses, which count
	// for connections that come to them without a name. Empty: the names in
	// the certificate.
	Names []string
}

// sniServing chooses a certificate by the name that a client asks for, as
// kube-apiserver does
// (https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/, --tls-sni-cert-key):
// names that were given before those of certificates, a whole name before one
// with *, earlier certificates before later ones, and the default for the rest.
type sniServing struct {
	standard source
	named    []namedServing
}

type namedServing struct {
	source source
	names  []string
}

func newSNIServing(standard source, named []NamedCertificate, log *slog.Logger, now func() time.Time) (*sniServing, error) {
	s := &sniServing{standard: standard}
	for _, one := range named {
		source, err := newUserCertificate(one.CertFile, one.KeyFile, log, now)
		if err != nil {
			return nil, fmt.Errorf("failed to load SNI cert and key: %w", err)
		}
		s.named = append(s.named, namedServing{source, one.Names})
	}
	return s, nil
}

func (s *sniServing) forClient(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	certificates := make([]*tls.Certificate, len(s.named))
	for i, one := range s.named {
		var err error
		if certificates[i], err = one.source.certificate(); err != nil {
			return nil, err
		}
	}
	name := strings.ToLower(hello.ServerName)
	if name == "" && hello.Conn != nil {
		name, _, _ = net.SplitHostPort(hello.Conn.LocalAddr().String())
	}
	_, domain, _ := strings.Cut(name, ".")
	for _, want := range []string{name, "*." + domain} {
		for i, one := range s.named {
			if slices.Contains(one.names, want) {
				return certificates[i], nil
			}
		}
		for i, one := range s.named {
			if len(one.names) == 0 && slices.Contains(namesOf(certificates[i].Leaf), want) {
				return certificates[i], nil
			}
		}
	}
	standard, err := s.standard.certificate()
	if err != nil || hello.SupportsCertificate(standard) == nil {
		return standard, err
	}
	for _, certificate := range certificates {
		if hello.SupportsCertificate(certificate) == nil {
			return certificate, nil
		}
	}
	return standard, nil
}

// namesOf leaves out addresses: clients don't ask for them by name.
func namesOf(leaf *x509.Certificate) []string {
	names := leaf.DNSNames
	common := leaf.Subject.CommonName
	if common == "*" || net.ParseIP(common) == nil && len(validation.IsDNS1123Subdomain(strings.TrimPrefix(common, "*."))) == 0 {
		names = append(slices.Clip(names), common)
	}
	return names
}
