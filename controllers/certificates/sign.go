package certificates

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	capihelper "k8s.io/kubernetes/pkg/apis/certificates"

	"github.com/howdah/howdah/controllers/reconcile"
)

const (
	legacyUnknown = "kubernetes.io/legacy-unknown"
	backdate      = 5 * time.Minute  // for clocks that are behind
	short         = 8 * time.Hour    // certificates that live for less are not shortened by backdating
	leastLifetime = 10 * time.Minute // whatever is asked for
)

// A Signer is one of the built-in signers. Its files are read for each
// certificate, so they may be replaced.
type Signer struct{ CertFile, KeyFile string }

// Signers sign what was approved. A signer without files signs nothing.
type Signers struct {
	KubeletServing, KubeletClient, KubeAPIServerClient, LegacyUnknown Signer
	Lifetime                                                          time.Duration // the most a certificate gets
}

func (s Signers) by(name string) Signer {
	switch name {
	case certificatesv1.KubeletServingSignerName:
		return s.KubeletServing
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		return s.KubeletClient
	case certificatesv1.KubeAPIServerClientSignerName:
		return s.KubeAPIServerClient
	case legacyUnknown:
		return s.LegacyUnknown
	}
	return Signer{}
}

// Sign is the certificatesigningrequest-signing-controller.
func Sign(s Signers) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		requests := c.Informers.Certificates().V1().CertificateSigningRequests()
		lister := requests.Lister()
		queue := reconcile.NewQueue(c, "certificate", 5, func(ctx context.Context, name string) error {
			request, err := lister.Get(name)
			if apierrors.IsNotFound(err) {
				return nil
			}
			if err != nil {
				return err
			}
			return s.handle(ctx, c.Client, request, c.Clock.Now())
		})
		return c.Handle(requests.Informer(), changed(queue))
	}
}

func (s Signers) handle(ctx context.Context, client kubernetes.Interface, request *certificatesv1.CertificateSigningRequest, now time.Time) error {
	signer := s.by(request.Spec.SignerName)
	if signer.CertFile == "" || len(request.Status.Certificate) > 0 || !is(request, certificatesv1.CertificateApproved) ||
		is(request, certificatesv1.CertificateDenied) || is(request, certificatesv1.CertificateFailed) {
		return nil
	}
	asked, err := capihelper.ParseCSR(request.Spec.Request)
	if err != nil {
		return fmt.Errorf("unable to parse csr %q: %w", request.Name, err)
	}
	request = request.DeepCopy()
	if err := verify(request.Spec.SignerName, asked, request); err != nil {
		request.Status.Conditions = append(request.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
			Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue, Reason: "SignerValidationFailure", Message: err.Error(), LastUpdateTime: metav1.NewTime(now),
		})
	} else if request.Status.Certificate, err = signer.sign(asked, request.Spec.Usages, s.lifetime(request.Spec.ExpirationSeconds), now); err != nil {
		return fmt.Errorf("error auto signing csr: %w", err)
	}
	_, err = client.CertificatesV1().CertificateSigningRequests().UpdateStatus(ctx, request, metav1.UpdateOptions{})
	return err
}

func (s Signers) lifetime(asked *int32) time.Duration {
	if asked == nil {
		return s.Lifetime
	}
	return min(max(time.Duration(*asked)*time.Second, leastLifetime), s.Lifetime)
}

// sign makes the certificate, in PEM. It never outlives its authority.
func (s Signer) sign(asked *x509.CertificateRequest, usages []certificatesv1.KeyUsage, lifetime time.Duration, now time.Time) ([]byte, error) {
	authority, err := s.authority(now)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: asked.Subject, DNSNames: asked.DNSNames, IPAddresses: asked.IPAddresses,
		EmailAddresses: asked.EmailAddresses, URIs: asked.URIs, PublicKeyAlgorithm: asked.PublicKeyAlgorithm, PublicKey: asked.PublicKey,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(lifetime), BasicConstraintsValid: true,
	}
	if lifetime >= short {
		template.NotAfter = template.NotAfter.Add(-backdate)
	}
	if end := authority.Leaf.NotAfter; template.NotAfter.After(end) {
		template.NotAfter = end
	}
	for _, usage := range usages {
		if extended, ok := extendedUsages[usage]; ok {
			template.ExtKeyUsage = append(template.ExtKeyUsage, extended)
		} else if plain, ok := keyUsages[usage]; ok {
			template.KeyUsage |= plain
		} else {
			return nil, fmt.Errorf("unrecognized usage values: %q", usage)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority.Leaf, asked.PublicKey, authority.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// authority reads the signer's files, its certificate being the first.
func (s Signer) authority(now time.Time) (*tls.Certificate, error) {
	certPEM, err := os.ReadFile(s.CertFile)
	if err != nil {
		return nil, fmt.Errorf("read the signing certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(s.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	pair, err := tls.X509KeyPair(bytes.TrimSpace(certPEM), keyPEM)
	if err != nil {
		return nil, fmt.Errorf("the signing certificate %s and key %s can't be used: %w", s.CertFile, s.KeyFile, err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, fmt.Errorf("the signing certificate %s can't be used: %w", s.CertFile, err)
		}
	}
	if now.After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("the signing certificate %s has expired: put a new one in its place", s.CertFile)
	}
	return &pair, nil
}

var keyUsages = map[certificatesv1.KeyUsage]x509.KeyUsage{
	certificatesv1.UsageSigning:           x509.KeyUsageDigitalSignature,
	certificatesv1.UsageDigitalSignature:  x509.KeyUsageDigitalSignature,
	certificatesv1.UsageContentCommitment: x509.KeyUsageContentCommitment,
	certificatesv1.UsageKeyEncipherment:   x509.KeyUsageKeyEncipherment,
	certificatesv1.UsageKeyAgreement:      x509.KeyUsageKeyAgreement,
	certificatesv1.UsageDataEncipherment:  x509.KeyUsageDataEncipherment,
	certificatesv1.UsageCertSign:          x509.KeyUsageCertSign,
	certificatesv1.UsageCRLSign:           x509.KeyUsageCRLSign,
	certificatesv1.UsageEncipherOnly:      x509.KeyUsageEncipherOnly,
	certificatesv1.UsageDecipherOnly:      x509.KeyUsageDecipherOnly,
}

var extendedUsages = map[certificatesv1.KeyUsage]x509.ExtKeyUsage{
	certificatesv1.UsageAny:             x509.ExtKeyUsageAny,
	certificatesv1.UsageServerAuth:      x509.ExtKeyUsageServerAuth,
	certificatesv1.UsageClientAuth:      x509.ExtKeyUsageClientAuth,
	certificatesv1.UsageCodeSigning:     x509.ExtKeyUsageCodeSigning,
	certificatesv1.UsageEmailProtection: x509.ExtKeyUsageEmailProtection,
	certificatesv1.UsageSMIME:           x509.ExtKeyUsageEmailProtection,
	certificatesv1.UsageIPsecEndSystem:  x509.ExtKeyUsageIPSECEndSystem,
	certificatesv1.UsageIPsecTunnel:     x509.ExtKeyUsageIPSECTunnel,
	certificatesv1.UsageIPsecUser:       x509.ExtKeyUsageIPSECUser,
	certificatesv1.UsageTimestamping:    x509.ExtKeyUsageTimeStamping,
	certificatesv1.UsageOCSPSigning:     x509.ExtKeyUsageOCSPSigning,
	certificatesv1.UsageMicrosoftSGC:    x509.ExtKeyUsageMicrosoftServerGatedCrypto,
	certificatesv1.UsageNetscapeSGC:     x509.ExtKeyUsageNetscapeServerGatedCrypto,
}
