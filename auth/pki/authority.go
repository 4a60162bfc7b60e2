package pki

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	// backdate lets clients whose clocks are a little behind use a new certificate.
	backdate = 5 * time.Minute
)

// A role is what an authority is for.
type role struct {
	name   string // of its files, and of its entry in [Shared]
	common string // name in its certificate
	lost   string // what a new one means for others
}

var (
	clusterRole = role{"ca", "howdah-ca", "every client then needs a new kubeconfig"}
	// Who has a certificate of this one may say who is calling, so that it signs
	// for nobody else.
	proxyRole = role{"front-proxy-ca", "howdah-front-proxy-ca", "aggregated API servers then have to be started again"}
)

func (r role) files(dir string) (cert, key string) {
	return filepath.Join(dir, r.name+".crt"), filepath.Join(dir, r.name+".key")
}

// An authority signs certificates.
type authority struct {
	cert    *x509.Certificate
	certPEM []byte
	key     crypto.Signer
	now     func() time.Time
}

// ensureAuthority returns the authority of dir for a role, which is made on the
// first start and, if shared is given, is the same for all servers.
func ensureAuthority(ctx context.Context, dir string, r role, shared Shared, now func() time.Time) (*authority, error) {
	local, err := r.load(dir, now)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if shared != nil {
		return r.share(ctx, shared, local, dir, now)
	}
	if local == nil {
		return r.keepNew(dir, now)
	}
	return local, nil
}

// share returns the authority of all servers: the local one if they have none
// yet, else theirs, which a server without one keeps from then on.
func (r role) share(ctx context.Context, shared Shared, local *authority, dir string, now func() time.Time) (*authority, error) {
	pair, err := shared.LoadOrStore(ctx, r.name+".pem", func() ([]byte, error) {
		ours := local
		if ours == nil {
			key, err := newKey()
			if err != nil {
				return nil, err
			}
			if ours, err = newAuthority(r.common, key, now); err != nil {
				return nil, err
			}
		}
		keyPEM, err := encodeKey(ours.key)
		return append(bytes.Clone(ours.certPEM), keyPEM...), err
	})
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority from the database: %w", err)
	}
	theirs, err := parseAuthority(pair, pair, now)
	if err != nil {
		return nil, fmt.Errorf("the certificate authority kept in the database can't be used: %w; restore the database from a backup", err)
	}
	certFile, keyFile := r.files(dir)
	if local != nil {
		if !local.cert.Equal(theirs.cert) {
			return nil, fmt.Errorf("%s is not the certificate authority of this database: if the database is the right one, move %s away and start again to take over its authority", certFile, filepath.Dir(certFile))
		}
		return local, nil
	}
	keyPEM, err := encodeKey(theirs.key)
	if err != nil {
		return nil, err
	}
	if err := replace(keyFile, keyPEM); err != nil {
		return nil, err
	}
	return theirs, replace(certFile, theirs.certPEM)
}

// load reads both files. The error wraps fs.ErrNotExist only if making an
// authority is right: there is no certificate yet.
func (r role) load(dir string, now func() time.Time) (*authority, error) {
	certFile, keyFile := r.files(dir)
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		// Deliberately not wrapped: see above.
		return nil, fmt.Errorf("read the key of the certificate authority: %v; %s", err, r.howToRepair(dir))
	}
	a, err := parseAuthority(certPEM, keyPEM, now)
	if err != nil {
		return nil, fmt.Errorf("the certificate authority in %s and %s can't be used: %w; %s", certFile, keyFile, err, r.howToRepair(dir))
	}
	return a, nil
}

func (r role) howToRepair(dir string) string {
	certFile, keyFile := r.files(dir)
	return fmt.Sprintf("restore both files from a backup, or remove %s and %s to start with a new authority (%s)", certFile, keyFile, r.lost)
}

func parseAuthority(certPEM, keyPEM []byte, now func() time.Time) (*authority, error) {
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return nil, err
	}
	certs, err := cert.ParseCertsPEM(certPEM)
	if err != nil {
		return nil, err
	}
	key, err := keyutil.ParsePrivateKeyPEM(keyPEM)
	if err != nil {
		return nil, err
	}
	a := &authority{cert: certs[0], certPEM: encodeCert(certs[0].Raw), key: key.(crypto.Signer), now: now}
	if !a.cert.IsCA {
		return nil, errors.New("the certificate is not that of an authority (CA:TRUE is missing)")
	}
	if now().After(a.cert.NotAfter) {
		return nil, fmt.Errorf("the certificate expired on %s", a.cert.NotAfter.Format(time.DateOnly))
	}
	return a, nil
}

// keepNew writes the key, then the certificate. Of servers that start
// at once on one directory each file has one writer that wins, and the others
// use what it wrote. A key without a certificate is what a crash in between
// leaves.
func (r role) keepNew(dir string, now func() time.Time) (*authority, error) {
	certFile, keyFile := r.files(dir)
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	if keyPEM, err = writeOnce(keyFile, keyPEM); err != nil {
		return nil, err
	}
	kept, err := keyutil.ParsePrivateKeyPEM(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("the key of the certificate authority in %s can't be used: %w; %s", keyFile, err, r.howToRepair(dir))
	}
	made, err := newAuthority(r.common, kept.(crypto.Signer), now)
	if err != nil {
		return nil, err
	}
	certPEM, err := writeOnce(certFile, made.certPEM)
	if err != nil {
		return nil, err
	}
	return parseAuthority(certPEM, keyPEM, now)
}

func newAuthority(common string, key crypto.Signer, now func() time.Time) (*authority, error) {
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: common},
		NotBefore:             now().Add(-backdate),
		NotAfter:              now().Add(authorityLife),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the certificate authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make the certificate authority: %w", err)
	}
	return &authority{cert: cert, certPEM: encodeCert(der), key: key, now: now}, nil
}

// issue makes a key and a certificate for it.
func (a *authority) issue(template x509.Certificate) (certPEM, keyPEM []byte, err error) {
	key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = serialNumber(); err != nil {
		return nil, nil, err
	}
	now := a.now()
	template.NotBefore = now.Add(-backdate)
	template.NotAfter = now.Add(leafLife)
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, &template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign a certificate: %w", err)
	}
	if keyPEM, err = encodeKey(key); err != nil {
		return nil, nil, err
	}
	return encodeCert(der), keyPEM, nil
}

// fresh says whether at least 30% of a certificate's life is left and this
// authority signed it.
func (a *authority) fresh(c *x509.Certificate) bool {
	life := c.NotAfter.Sub(c.NotBefore)
	now := a.now()
	return now.After(c.NotBefore) && c.NotAfter.Sub(now) > life*3/10 && c.CheckSignatureFrom(a.cert) == nil
}

func newKey() (crypto.Signer, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func serialNumber() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, err
	}
	return n.Add(n, big.NewInt(1)), nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: der})
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	return keyutil.MarshalPrivateKeyToPEM(key)
}
