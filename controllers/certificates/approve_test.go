package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestApprove(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const node, joiner = "system:node:a", "system:bootstrap:token"
	asks := func(change func(*certificatesv1.CertificateSigningRequest), subject pkix.Name, hosts ...string) *certificatesv1.CertificateSigningRequest {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject, DNSNames: hosts}, key)
		if err != nil {
			t.Fatal(err)
		}
		r := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: certificatesv1.KubeAPIServerClientKubeletSignerName, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			Username: joiner, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		}}
		change(r)
		return r
	}
	as := func(user string) func(*certificatesv1.CertificateSigningRequest) {
		return func(r *certificatesv1.CertificateSigningRequest) { r.Spec.Username = user }
	}
	decided := func(kind certificatesv1.RequestConditionType) func(*certificatesv1.CertificateSigningRequest) {
		return func(r *certificatesv1.CertificateSigningRequest) {
			r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: kind, Status: "True"}}
		}
	}
	kubelet := pkix.Name{CommonName: node, Organization: []string{"system:nodes"}}
	const self, other = "Auto approving self kubelet client certificate after SubjectAccessReview.", "Auto approving kubelet client certificate after SubjectAccessReview."
	for _, test := range []struct {
		name    string
		request *certificatesv1.CertificateSigningRequest
		may     string // the subresource that the caller may create
		message string // of the approval; none: there is none
	}{
		{"a joiner", asks(as(joiner), kubelet), "nodeclient", other},
		{"a joiner that may only renew", asks(as(joiner), kubelet), "selfnodeclient", ""},
		{"a node that renews", asks(as(node), kubelet), "selfnodeclient", self},
		{"a node that joins anew", asks(as(node), kubelet), "nodeclient", other},
		{"another node's", asks(as("system:node:b"), kubelet), "selfnodeclient", ""},
		{"nobody", asks(as("jane"), kubelet), "", ""},
		{"not a node", asks(as(joiner), pkix.Name{CommonName: "jane", Organization: []string{"system:nodes"}}), "nodeclient", ""},
		{"an administrator", asks(as(joiner), pkix.Name{CommonName: node, Organization: []string{"system:nodes", "system:masters"}}), "nodeclient", ""},
		{"with a host", asks(as(joiner), kubelet, "example.org"), "nodeclient", ""},
		{"to serve by", asks(func(r *certificatesv1.CertificateSigningRequest) {
			r.Spec.Usages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth}
		}, kubelet), "nodeclient", ""},
		{"another signer's", asks(func(r *certificatesv1.CertificateSigningRequest) {
			r.Spec.SignerName = certificatesv1.KubeAPIServerClientSignerName
		}, kubelet), "nodeclient", ""},
		{"denied", asks(decided(certificatesv1.CertificateDenied), kubelet), "nodeclient", ""},
		{"approved", asks(decided(certificatesv1.CertificateApproved), kubelet), "nodeclient", ""},
		{"issued", asks(func(r *certificatesv1.CertificateSigningRequest) { r.Status.Certificate = []byte("a") }, kubelet), "nodeclient", ""},
	} {
		client := fake.NewSimpleClientset(test.request.DeepCopy())
		client.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
			review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
			asked := review.Spec.ResourceAttributes
			review.Status.Allowed = review.Spec.User == test.request.Spec.Username && asked.Resource == "certificatesigningrequests" && asked.Subresource == test.may
			return true, review, nil
		})
		if err := approve(t.Context(), client, test.request); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		got := ""
		for _, action := range client.Actions() {
			if update, ok := action.(clienttesting.UpdateAction); ok && update.GetSubresource() == "approval" {
				conditions := update.GetObject().(*certificatesv1.CertificateSigningRequest).Status.Conditions
				got = conditions[len(conditions)-1].Message
			}
		}
		if got != test.message {
			t.Errorf("%s is approved with %q, want %q", test.name, got, test.message)
		}
	}
}
