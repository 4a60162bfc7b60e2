package pki

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/util/cert"
)

// clientCAs are our authority and those of the user's file.
type clientCAs struct {
	own     *x509.Certificate
	file    string
	changes *changes
	log     *slog.Logger

	mu      sync.Mutex
	current *x509.CertPool
}

func newClientCAs(a *authority, file string, log *slog.Logger, now func() time.Time) (*clientCAs, error) {
	c := &clientCAs{own: a.cert, file: file, log: log}
	if file != "" {
		c.changes = newChanges(now, file)
	}
	var err error
	if c.current, err = c.load(); err != nil {
		return nil, fmt.Errorf("the authorities of --client-ca-file can't be used: %w", err)
	}
	return c, nil
}

func (c *clientCAs) load() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	pool.AddCert(c.own)
	if c.file == "" {
		return pool, nil
	}
	certs, err := cert.CertsFromFile(c.file)
	if err != nil {
		return nil, err
	}
	for _, authority := range certs {
		pool.AddCert(authority)
	}
	return pool, nil
}

func (c *clientCAs) pool() *x509.CertPool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes != nil && c.changes.any() {
		if pool, err := c.load(); err != nil {
			c.changes.again()
			c.log.Error("can't load the changed client authorities, the old ones stay", "file", c.file, "err", err)
		} else {
			c.current = pool
			c.log.Info("loaded the changed client authorities", "file", c.file)
		}
	}
	return c.current
}
