package certificates

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/howdah/howdah/controllers/reconcile"
)

// How long requests are kept, as upstream's cleaner has it.
const (
	cleanEvery  = time.Hour
	keepSettled = time.Hour      // after approval and issue, denial or failure
	keepPending = 24 * time.Hour // without a decision
)

// Clean is the certificatesigningrequest-cleaner-controller.
func Clean(c *reconcile.Controller) error {
	requests := c.Informers.Certificates().V1().CertificateSigningRequests()
	if err := c.Need(requests.Informer()); err != nil {
		return err
	}
	c.Every(cleanEvery, func(ctx context.Context) {
		all, err := requests.Lister().List(labels.Everything())
		if err != nil {
			return
		}
		for _, request := range all {
			if !stale(request, c.Clock.Now()) {
				continue
			}
			err := c.Client.CertificatesV1().CertificateSigningRequests().Delete(ctx, request.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &request.UID}})
			if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
				c.Log.Warn("an old CertificateSigningRequest was not deleted, trying again later", "name", request.Name, "err", err)
			}
		}
	})
	return nil
}

// stale is whether nobody needs the request any more.
func stale(request *certificatesv1.CertificateSigningRequest, now time.Time) bool {
	issued := len(request.Status.Certificate) > 0
	if issued && expired(request.Status.Certificate, now) {
		return true
	}
	for _, condition := range request.Status.Conditions {
		settled := condition.Type == certificatesv1.CertificateDenied || condition.Type == certificatesv1.CertificateFailed ||
			condition.Type == certificatesv1.CertificateApproved && issued
		if settled && now.Sub(condition.LastUpdateTime.Time) > keepSettled {
			return true
		}
	}
	return len(request.Status.Conditions) == 0 && now.Sub(request.CreationTimestamp.Time) > keepPending
}

func expired(certificate []byte, now time.Time) bool {
	block, _ := pem.Decode(certificate)
	if block == nil {
		return false
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	return err == nil && now.After(parsed.NotAfter)
}
