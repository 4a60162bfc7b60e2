package pki

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/util/cert"
)

// authorities are those of a file, and our own.
type authorities struct {
	own     *x509.Certificate // nil: only those of the file
	file    string            // empty: only our own
	flag    string            // that names the file
	changes *changes
	log     *slog.Logger

	mu      sync.Mutex
	current *bundle
}

// bundle is authorities in the forms that they are asked for.
type bundle struct {
	certs []*x509.Certificate
	pool  *x509.CertPool
	pem   []byte
}

func newAuthorities(own *x509.Certificate, file, flag string, log *slog.Logger, now func() time.Time) (*authorities, error) {
	a := &authorities{own: own, file: file, flag: flag, log: log}
	if file != "" {
		a.changes = newChanges(now, file)
	}
	var err error
	if a.current, err = a.load(); err != nil {
		return nil, fmt.Errorf("the authorities of --%s can't be used: %w", flag, err)
	}
	return a, nil
}

func (a *authorities) load() (*bundle, error) {
	b := &bundle{pool: x509.NewCertPool()}
	if a.own != nil {
		b.certs = append(b.certs, a.own)
	}
	if a.file != "" {
		certs, err := cert.CertsFromFile(a.file)
		if err != nil {
			return nil, err
		}
		b.certs = append(b.certs, certs...)
	}
	for _, authority := range b.certs {
		b.pool.AddCert(authority)
		b.pem = append(b.pem, encodeCert(authority.Raw)...)
	}
	return b, nil
}

// get returns them as the file has them now, or had them when it was last good.
func (a *authorities) get() *bundle {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changes != nil && a.changes.any() {
		if b, err := a.load(); err != nil {
			a.changes.again()
			a.log.Error("can't load the changed authorities, the old ones stay", "flag", a.flag, "file", a.file, "err", err)
		} else {
			a.current = b
			a.log.Info("loaded the changed authorities", "flag", a.flag, "file", a.file)
		}
	}
	return a.current
}
