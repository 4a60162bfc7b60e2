package certificates

import (
	"context"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/howdah/howdah/controllers/reconcile"
)

// How long requests of pods are kept: whoever asked has the certificate long
// before (KEP-4317).
const (
	cleanPodsEvery  = 5 * time.Minute
	keepPodRequests = 15 * time.Minute
)

// CleanPodRequests is the podcertificaterequest-cleaner-controller.
func CleanPodRequests(c *reconcile.Controller) error {
	requests := c.Informers.Certificates().V1().PodCertificateRequests()
	if err := c.Need(requests.Informer()); err != nil {
		return err
	}
	c.Every(cleanPodsEvery, func(ctx context.Context) {
		all, err := requests.Lister().List(labels.Everything())
		if err != nil {
			return // informers' listers don't fail
		}
		for _, request := range all {
			if !overdue(request, c.Clock.Now()) {
				continue
			}
			err := c.Client.CertificatesV1().PodCertificateRequests(request.Namespace).Delete(ctx, request.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &request.UID}})
			if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
				c.Log.Warn("an old PodCertificateRequest was not deleted, trying again later", "request", request.Namespace+"/"+request.Name, "err", err)
			}
		}
	})
	return nil
}

// overdue is whether whoever asked must have got what it wants.
func overdue(request *certificatesv1.PodCertificateRequest, now time.Time) bool {
	return now.Sub(request.CreationTimestamp.Time) >= keepPodRequests
}
