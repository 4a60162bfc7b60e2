package pki

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"path/filepath"
)

// ensureProxy is the part of [Ensure] for front proxies.
func (p *TLS) ensureProxy(ctx context.Context, dir string) error {
	o, err := p.options, error(nil)
	if (o.ProxyCertFile == "") != (o.ProxyKeyFile == "") {
		return errors.New("--proxy-client-cert-file and --proxy-client-key-file go together")
	}
	if o.ProxyCAFile == "" && o.ProxyCertFile == "" && o.ProxyName != "" {
		return p.ensureOwnProxy(ctx, dir)
	}
	if o.ProxyCAFile != "" {
		if p.proxyCAs, err = newAuthorities(nil, o.ProxyCAFile, "requestheader-client-ca-file", p.log, o.Now); err != nil {
			return err
		}
	}
	if o.ProxyCertFile != "" {
		if p.proxy, err = newUserCertificate(o.ProxyCertFile, o.ProxyKeyFile, p.log, o.Now); err != nil {
			return fmt.Errorf("--proxy-client-cert-file and --proxy-client-key-file: %w", err)
		}
	}
	return nil
}

func (p *TLS) ensureOwnProxy(ctx context.Context, dir string) error {
	authority, err := ensureAuthority(ctx, dir, proxyRole, p.options.Shared, p.options.Now)
	if err != nil {
		return err
	}
	if p.proxyCAs, err = newAuthorities(authority.cert, "", "", p.log, p.options.Now); err != nil {
		return err
	}
	p.proxy, err = newOwnCertificate(filepath.Join(dir, "front-proxy-client.pem"), authority, "front proxy", x509.Certificate{
		Subject:     pkix.Name{CommonName: p.options.ProxyName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, p.log)
	return err
}

// ProxyCertificate is the client certificate of this server as a front proxy;
// nil when it has none.
func (p *TLS) ProxyCertificate() (*tls.Certificate, error) {
	if p.proxy == nil {
		return nil, nil
	}
	return p.proxy.certificate()
}

// ProxyCAs are the authorities of front proxies; nil if there are none.
func (p *TLS) ProxyCAs() *x509.CertPool {
	if p.proxyCAs == nil {
		return nil
	}
	return p.proxyCAs.get().pool
}

// ProxyCAsPEM are the same as certificates in PEM.
func (p *TLS) ProxyCAsPEM() []byte {
	if p.proxyCAs == nil {
		return nil
	}
	return p.proxyCAs.get().pem
}
