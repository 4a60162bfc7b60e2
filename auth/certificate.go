package auth

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/apis/asn1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// ClientCertificates authenticates TLS client certificates: the common name is
// the user, each organization a group
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates).
type ClientCertificates struct {
	// Roots are the authorities whose client certificates are accepted. Another
	// pool than before has the certificates of open connections checked again.
	Roots   func() *x509.CertPool
	Metrics *Metrics // nil: nothing is counted
}

// AuthenticateRequest implements [authenticator.Request].
func (c *ClientCertificates) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	leaf := leafOf(r)
	if leaf == nil {
		return nil, false, nil
	}
	c.Metrics.certificate(time.Until(leaf.NotAfter))
	v := verify(r, &connectionOf(r).client, c.Roots())
	if v.err != nil {
		return nil, false, fmt.Errorf("verifying certificate %s failed: %w", describe(leaf), v.err)
	}
	return v.user, v.user != nil, v.userErr
}

// connection remembers what the certificate of one connection was found to be,
// since checking its signature costs more than most requests.
type connection struct{ client, proxy atomic.Pointer[verified] }

type connectionKey struct{}

// ConnContext is for [net/http.Server.ConnContext].
func ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, &connection{})
}

func connectionOf(r *http.Request) *connection {
	if conn, ok := r.Context().Value(connectionKey{}).(*connection); ok {
		return conn
	}
	return &connection{}
}

func leafOf(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	return r.TLS.PeerCertificates[0]
}

// verified is what was found out about a certificate under some roots.
type verified struct {
	roots   *x509.CertPool
	expires time.Time // the first of the chain to expire
	err     error     // why it is not good
	user    *authenticator.Response
	userErr error
}

// verify checks the certificate of a connection, or remembers that it did.
func verify(r *http.Request, kept *atomic.Pointer[verified], roots *x509.CertPool) *verified {
	v := kept.Load()
	if v != nil && v.roots == roots && (v.err != nil || time.Now().Before(v.expires)) {
		return v
	}
	v = &verified{roots: roots}
	intermediates := x509.NewCertPool()
	for _, certificate := range r.TLS.PeerCertificates[1:] {
		intermediates.AddCert(certificate)
	}
	leaf := r.TLS.PeerCertificates[0]
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		v.err = err
	} else {
		v.expires = leaf.NotAfter
		for _, certificate := range chains[0] {
			if certificate.NotAfter.Before(v.expires) {
				v.expires = certificate.NotAfter
			}
		}
		v.user, v.userErr = userOf(leaf)
	}
	kept.Store(v)
	return v
}

// userOf is nil for a certificate without a name.
func userOf(leaf *x509.Certificate) (*authenticator.Response, error) {
	if leaf.Subject.CommonName == "" {
		return nil, nil
	}
	uid, err := uidOf(leaf)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(leaf.Raw)
	return withAuthenticated(&authenticator.Response{User: &user.DefaultInfo{
		Name:   leaf.Subject.CommonName,
		UID:    uid,
		Groups: leaf.Subject.Organization,
		Extra:  map[string][]string{user.CredentialIDKey: {"X509SHA256=" + hex.EncodeToString(sum[:])}},
	}}), nil
}

// uidOf reads the UID that a subject may have (feature gate
// AllowParsingUserUIDFromCertAuth).
func uidOf(leaf *x509.Certificate) (string, error) {
	var uids []string
	for _, name := range leaf.Subject.Names {
		if !name.Type.Equal(asn1.X509UID()) {
			continue
		}
		uid, ok := name.Value.(string)
		if !ok {
			return "", errors.New("unable to parse UID into a string")
		}
		uids = append(uids, uid)
	}
	switch {
	case len(uids) == 0:
		return "", nil
	case len(uids) > 1:
		return "", fmt.Errorf("expected 1 UID, but found multiple: %v", uids)
	case uids[0] == "":
		return "", errors.New("UID cannot be an empty string")
	}
	return uids[0], nil
}

// describe names a certificate as kube-apiserver does in its errors.
func describe(c *x509.Certificate) string {
	return fmt.Sprintf("SN=%d, SKID=%s, AKID=%s", c.SerialNumber, colons(c.SubjectKeyId), colons(c.AuthorityKeyId))
}

func colons(id []byte) string {
	return strings.ReplaceAll(strings.ToUpper(fmt.Sprintf("% x", id)), " ", ":")
}
