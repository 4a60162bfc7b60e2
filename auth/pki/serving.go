package pki

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// servingNames are the names and addresses under which a server is reached.
func servingNames(o Options) (names []string, addresses []net.IP) {
	names = []string{
		"localhost",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		names = append(names, host)
	}
	addresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	for _, address := range append([]net.IP{o.BindAddress, o.AdvertiseAddress}, o.ServiceIPs...) {
		if address != nil && !address.IsUnspecified() {
			addresses = append(addresses, address)
		}
	}
	for _, san := range o.SANs {
		if address := net.ParseIP(san); address != nil {
			addresses = append(addresses, address)
		} else {
			names = append(names, san)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	slices.SortFunc(addresses, func(a, b net.IP) int { return slices.Compare(a.To16(), b.To16()) })
	addresses = slices.CompactFunc(addresses, net.IP.Equal)
	return names, addresses
}

// ownCertificate is one that our authority signs, kept in a file and renewed.
type ownCertificate struct {
	file      string
	authority *authority
	template  x509.Certificate // names and addresses are in order
	what      string           // for messages
	log       *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
}

func newOwnServing(file string, a *authority, names []string, addresses []net.IP, log *slog.Logger) (*ownCertificate, error) {
	return newOwnCertificate(file, a, "serving", x509.Certificate{
		Subject:     pkix.Name{CommonName: "howdah"},
		DNSNames:    names,
		IPAddresses: addresses,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, log)
}

func newOwnCertificate(file string, a *authority, what string, template x509.Certificate, log *slog.Logger) (*ownCertificate, error) {
	s := &ownCertificate{file: file, authority: a, template: template, what: what, log: log}
	if kept, err := tls.LoadX509KeyPair(file, file); err == nil && s.fits(kept.Leaf) {
		s.current = &kept
		return s, nil
	}
	// Whatever the file was, it can be made anew.
	if err := s.renew(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *ownCertificate) fits(leaf *x509.Certificate) bool {
	return leaf.Subject.CommonName == s.template.Subject.CommonName &&
		slices.Equal(slices.Sorted(slices.Values(leaf.DNSNames)), s.template.DNSNames) &&
		slices.EqualFunc(leaf.IPAddresses, s.template.IPAddresses, net.IP.Equal) &&
		s.authority.fresh(leaf)
}

func (s *ownCertificate) renew() error {
	certPEM, keyPEM, err := s.authority.issue(s.template)
	if err != nil {
		return fmt.Errorf("make the %s certificate: %w", s.what, err)
	}
	certificate, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("make the %s certificate: %w", s.what, err)
	}
	// One file, so that no reader ever sees the key of another certificate.
	if err := replace(s.file, append(certPEM, keyPEM...)); err != nil {
		return err
	}
	s.current = &certificate
	s.log.Info("made a certificate", "for", s.what, "names", s.template.DNSNames, "addresses", s.template.IPAddresses, "until", certificate.Leaf.NotAfter.Format(time.DateOnly))
	return nil
}

func (s *ownCertificate) certificate() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	leaf := s.current.Leaf
	if left := leaf.NotAfter.Sub(s.authority.now()); left > leaf.NotAfter.Sub(leaf.NotBefore)*3/10 {
		return s.current, nil
	}
	if err := s.renew(); err != nil {
		// It may still be valid for months, and a disk can be made writable again.
		s.log.Error("can't renew a certificate", "for", s.what, "until", leaf.NotAfter.Format(time.DateOnly), "err", err)
	}
	return s.current, nil
}

// userCertificate is one in the user's files.
type userCertificate struct {
	certFile, keyFile string
	changes           *changes
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
}

func newUserCertificate(certFile, keyFile string, log *slog.Logger, now func() time.Time) (*userCertificate, error) {
	s := &userCertificate{certFile: certFile, keyFile: keyFile, log: log, changes: newChanges(now, certFile, keyFile)}
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("the certificate %s and the key %s can't be used: %w", certFile, keyFile, err)
	}
	s.current = &certificate
	return s, nil
}

func (s *userCertificate) certificate() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes.any() {
		certificate, err := tls.LoadX509KeyPair(s.certFile, s.keyFile)
		if err != nil {
			// One of the two may be written already and the other not yet.
			s.changes.again()
			s.log.Error("can't load the changed certificate, the old one stays", "file", s.certFile, "err", err)
			return s.current, nil
		}
		s.current = &certificate
		s.log.Info("loaded the changed certificate", "file", s.certFile, "until", certificate.Leaf.NotAfter.Format(time.DateOnly))
	}
	return s.current, nil
}
