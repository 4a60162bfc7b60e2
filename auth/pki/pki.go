// Package pki owns the certificates of a control plane: the authority that
// signs them, the serving certificate, the client authorities that are
// accepted, and the administrator's kubeconfig.
//
// Everything is made on the first start and kept in DIR/pki; what the user
// brings (--tls-cert-file, --client-ca-file, or their own ca.crt and ca.key)
// takes its place. Certificates that only depend on the authority are made
// anew whenever they no longer fit; the authority itself never is, since every
// client trusts it.
package pki

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Options say what [Ensure] makes or loads.
type Options struct {
	Dir string // the data directory; files go to Dir/pki and Dir/admin.kubeconfig

	// Names and addresses of the serving certificate, besides localhost, the
	// host's name and the names of the kubernetes Service.
	BindAddress      net.IP
	AdvertiseAddress net.IP
	ServiceIPs       []net.IP // of the kubernetes Service
	SANs             []string // names or addresses

	CertFile, KeyFile string             // the user's own serving certificate
	SNI               []NamedCertificate // further ones, by the name that is asked for
	Protocol          Protocol
	ClientCAFile      string // authorities accepted besides ours

	// Front proxies: the authorities of those that are believed, and the
	// certificate of this server as one. With neither, and a name, it has an
	// authority and a certificate of its own.
	ProxyCAFile                 string
	ProxyCertFile, ProxyKeyFile string
	ProxyName                   string // common name of our own

	KubeletCertFile, KubeletKeyFile string // the user's own client certificate for kubelets

	// Shared keeps the authority for all servers of a database; nil: only in Dir.
	Shared Shared

	Logger *slog.Logger
	Now    func() time.Time // time.Now
}

// Protocol bounds what TLS may agree on. The zero value: TLS 1.2 or later, and
// what Go chooses.
type Protocol struct {
	MinVersion       uint16
	CipherSuites     []uint16
	CurvePreferences []tls.CurveID
}

// Shared is a place that all servers of one cluster read and write.
type Shared interface {
	// LoadOrStore returns what is kept under name. If there is nothing yet it
	// keeps value and returns it; of concurrent callers one wins, and all
	// return its value.
	LoadOrStore(ctx context.Context, name string, value func() ([]byte, error)) ([]byte, error)
}

// TLS holds the certificates of a running server. Files that the user brought
// are read again when they change, and our serving certificate is renewed
// before it expires; connections made from then on see the new one.
type TLS struct {
	options   Options
	log       *slog.Logger
	authority *authority
	serving   source
	sni       *sniServing
	clientCAs *authorities
	proxyCAs  *authorities // nil: no front proxies
	proxy     source       // nil: this server is none
	kubelet   source
}

// source gives the certificate for a new connection.
type source interface {
	certificate() (*tls.Certificate, error)
}

// Ensure loads what exists, makes what is missing and fails, with what to do,
// when a file can't be used.
func Ensure(ctx context.Context, options Options) (*TLS, error) {
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if (options.CertFile == "") != (options.KeyFile == "") {
		return nil, errors.New("--tls-cert-file and --tls-private-key-file must be given together")
	}
	dir := filepath.Join(options.Dir, "pki")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the certificate directory (choose another place with --data-dir): %w", err)
	}
	p := &TLS{options: options, log: options.Logger.With("service", "pki")}
	var err error
	if p.authority, err = ensureAuthority(ctx, dir, clusterRole, options.Shared, options.Now); err != nil {
		return nil, err
	}
	if p.clientCAs, err = newAuthorities(p.authority.cert, options.ClientCAFile, "client-ca-file", p.log, options.Now); err != nil {
		return nil, err
	}
	if err := p.ensureProxy(ctx, dir); err != nil {
		return nil, err
	}
	if err := p.ensureKubeletClient(dir); err != nil {
		return nil, err
	}
	if options.CertFile != "" {
		if p.serving, err = newUserCertificate(options.CertFile, options.KeyFile, p.log, options.Now); err != nil {
			return nil, fmt.Errorf("--tls-cert-file and --tls-private-key-file: %w", err)
		}
	} else {
		names, addresses := servingNames(options)
		p.serving, err = newOwnServing(filepath.Join(dir, "serving.pem"), p.authority, names, addresses, p.log)
	}
	if err != nil {
		return nil, err
	}
	if p.sni, err = newSNIServing(p.serving, options.SNI, p.log, options.Now); err != nil {
		return nil, err
	}
	return p, nil
}

// ServerTLS is the configuration of the API's listener. Client certificates
// are asked for but verified by the authentication step (against
// [TLS.ClientCAs]), which answers a bad one with a Status instead of a broken
// handshake.
func (p *TLS) ServerTLS() *tls.Config {
	config := &tls.Config{
		MinVersion:       max(tls.VersionTLS12, p.options.Protocol.MinVersion),
		CipherSuites:     p.options.Protocol.CipherSuites,
		CurvePreferences: p.options.Protocol.CurvePreferences,
		NextProtos:       []string{"h2", "http/1.1"},
		ClientAuth:       tls.RequestClientCert,
		GetCertificate:   p.sni.forClient,
	}
	listener := config.Clone()
	// The accepted authorities may change, so each connection takes the
	// current ones; clients choose a certificate by them.
	listener.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		current := config.Clone()
		current.ClientCAs = p.handshakeCAs()
		return current, nil
	}
	return listener
}

// ClientCAs are the authorities whose client certificates are accepted.
func (p *TLS) ClientCAs() *x509.CertPool { return p.clientCAs.get().pool }

// ClientCAsPEM are the same as certificates in PEM.
func (p *TLS) ClientCAsPEM() []byte { return p.clientCAs.get().pem }

// handshakeCAs are those that a client is told of, to choose its certificate.
func (p *TLS) handshakeCAs() *x509.CertPool {
	if p.proxyCAs == nil {
		return p.ClientCAs()
	}
	all := p.ClientCAs().Clone()
	for _, authority := range p.proxyCAs.get().certs {
		all.AddCert(authority)
	}
	return all
}
