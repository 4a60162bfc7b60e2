package certificates

import (
	"context"
	"crypto/x509"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes"
	capihelper "k8s.io/kubernetes/pkg/apis/certificates"

	"github.com/howdah/howdah/controllers/reconcile"
)

// approvals are what may be approved without a human: a kubelet's client
// certificate, if the caller may have it.
var approvals = []struct {
	self        bool // the caller asks for its own identity
	subresource string
	message     string
}{
	{true, "selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."},
	{false, "nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."},
}

// Approve is the certificatesigningrequest-approving-controller.
func Approve(c *reconcile.Controller) error {
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
		return approve(ctx, c.Client, request)
	})
	return c.Handle(requests.Informer(), changed(queue))
}

// changed queues the requests that were added or changed.
func changed(queue *reconcile.Queue[string]) reconcile.Events[*certificatesv1.CertificateSigningRequest] {
	return reconcile.Events[*certificatesv1.CertificateSigningRequest]{
		Add:    func(r *certificatesv1.CertificateSigningRequest) { queue.Add(r.Name) },
		Update: func(_, r *certificatesv1.CertificateSigningRequest) { queue.Add(r.Name) },
	}
}

func approve(ctx context.Context, client kubernetes.Interface, request *certificatesv1.CertificateSigningRequest) error {
	if len(request.Status.Certificate) > 0 || is(request, certificatesv1.CertificateApproved) || is(request, certificatesv1.CertificateDenied) ||
		request.Spec.SignerName != certificatesv1.KubeAPIServerClientKubeletSignerName {
		return nil
	}
	asked, err := capihelper.ParseCSR(request.Spec.Request)
	if err != nil || !capihelper.IsKubeletClientCSR(asked, usages(request)) {
		return nil // the API server has validated it; nothing to approve here
	}
	for _, a := range approvals {
		if a.self && request.Spec.Username != asked.Subject.CommonName {
			continue
		}
		allowed, err := may(ctx, client, request, a.subresource)
		if err != nil {
			return fmt.Errorf("ask whether %s may have the certificate: %w", request.Spec.Username, err)
		}
		if !allowed {
			continue
		}
		request = request.DeepCopy()
		request.Status.Conditions = append(request.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
			Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "AutoApproved", Message: a.message,
		})
		_, err = client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, request.Name, request, metav1.UpdateOptions{})
		return err
	}
	return nil
}

// may asks the API server as the one who asks for the certificate.
func may(ctx context.Context, client kubernetes.Interface, request *certificatesv1.CertificateSigningRequest, subresource string) (bool, error) {
	extra := map[string]authorizationv1.ExtraValue{}
	for key, value := range request.Spec.Extra {
		extra[key] = authorizationv1.ExtraValue(value)
	}
	review, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: request.Spec.Username, UID: request.Spec.UID, Groups: request.Spec.Groups, Extra: extra,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: "certificates.k8s.io", Resource: "certificatesigningrequests", Subresource: subresource, Verb: "create", Version: "*",
		},
	}}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

//lint:ignore SA1019 the type that upstream's checks of requests take
func usages(request *certificatesv1.CertificateSigningRequest) sets.String {
	//lint:ignore SA1019 as above
	all := sets.String{}
	for _, usage := range request.Spec.Usages {
		all.Insert(string(usage))
	}
	return all
}

func is(request *certificatesv1.CertificateSigningRequest, kind certificatesv1.RequestConditionType) bool {
	for _, condition := range request.Status.Conditions {
		if condition.Type == kind && (condition.Status == corev1.ConditionTrue || condition.Status == "") {
			return true
		}
	}
	return false
}

// verify says whether a signer may sign what is asked for.
func verify(signer string, asked *x509.CertificateRequest, request *certificatesv1.CertificateSigningRequest) error {
	switch signer {
	case certificatesv1.KubeletServingSignerName:
		return capihelper.ValidateKubeletServingCSR(asked, usages(request))
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		return capihelper.ValidateKubeletClientCSR(asked, usages(request))
	case certificatesv1.KubeAPIServerClientSignerName:
		return clientUsages(request.Spec.Usages)
	}
	return nil // legacy-unknown takes anything
}

func clientUsages(all []certificatesv1.KeyUsage) error {
	client := false
	for _, usage := range all {
		switch usage {
		case certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment:
		case certificatesv1.UsageClientAuth:
			client = true
		default:
			return fmt.Errorf("invalid usage for client certificate: %s", usage)
		}
	}
	if !client {
		return fmt.Errorf("missing required usage for client certificate: %s", certificatesv1.UsageClientAuth)
	}
	return nil
}
