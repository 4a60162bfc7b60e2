// Package auth says who is calling. For now that is the holder of a client
// certificate signed by one of the cluster's client authorities.
package auth

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
)

// ErrNoCredentials: the request carries nothing that says who is calling.
var ErrNoCredentials = errors.New("no client certificate")

// ClientCertificates authenticates TLS client certificates as kube-apiserver
// does: the common name is the user, each organization a group
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates).
type ClientCertificates struct {
	// Roots are the authorities whose client certificates are accepted.
	Roots func() *x509.CertPool
}

type connectionKey struct{}

// connection remembers what the certificate of one connection said, since
// checking its signature costs more than most requests.
type connection struct {
	once    sync.Once
	user    *user.DefaultInfo
	expires time.Time
	err     error
}

// ConnContext is for [net/http.Server.ConnContext].
func ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, &connection{})
}

// Authenticate returns the user of the connection that the request context
// belongs to, or an error that wraps [ErrNoCredentials] or says what is wrong
// with the certificate.
func (c *ClientCertificates) Authenticate(ctx context.Context, state *tls.ConnectionState) (user.Info, error) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return nil, ErrNoCredentials
	}
	conn, ok := ctx.Value(connectionKey{}).(*connection)
	if !ok {
		conn = &connection{}
	}
	conn.once.Do(func() { conn.user, conn.expires, conn.err = c.verify(state) })
	if conn.err != nil {
		return nil, conn.err
	}
	if time.Now().After(conn.expires) {
		return nil, errors.New("the client certificate has expired")
	}
	return conn.user, nil
}

func (c *ClientCertificates) verify(state *tls.ConnectionState) (*user.DefaultInfo, time.Time, error) {
	leaf := state.PeerCertificates[0]
	intermediates := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		intermediates.AddCert(cert)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots:         c.Roots(),
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	if leaf.Subject.CommonName == "" {
		return nil, time.Time{}, errors.New("the client certificate has no common name to take the user from")
	}
	expires := leaf.NotAfter
	for _, cert := range chains[0] {
		if cert.NotAfter.Before(expires) {
			expires = cert.NotAfter
		}
	}
	sum := sha256.Sum256(leaf.Raw)
	return &user.DefaultInfo{
		Name:   leaf.Subject.CommonName,
		Groups: append(append([]string{}, leaf.Subject.Organization...), user.AllAuthenticated),
		Extra:  map[string][]string{user.CredentialIDKey: {"X509SHA256=" + hex.EncodeToString(sum[:])}},
	}, expires, nil
}
