package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509/pkix"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/cert"

	"github.com/howdah/howdah/server/admission"
)

func TestNodeRestriction(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir(), Admission: admission.Options{Enable: []string{"NodeRestriction"}}})
	ctx, root := t.Context(), admin(t, s)
	n1, _ := caller(t, s, "system:node:n1", "system:nodes")
	node := func(name string) *corev1.Node { return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}} }

	if _, err := n1.CoreV1().Nodes().Create(ctx, node("n1"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := n1.CoreV1().Nodes().Create(ctx, node("n2"), metav1.CreateOptions{})
	wantForbidden(t, "another node", err, `node "n1" is not allowed to modify node "n2"`)
	_, err = n1.CoreV1().Nodes().Patch(ctx, "n1", types.MergePatchType, []byte(`{"metadata":{"labels":{"node-restriction.kubernetes.io/zone":"mine"}}}`), metav1.PatchOptions{})
	wantForbidden(t, "a label of its own", err, `is not allowed to modify labels: node-restriction.kubernetes.io/zone`)

	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "runner", Namespace: "default"}}
	if _, err := root.CoreV1().ServiceAccounts("default").Create(ctx, account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := func(name, on string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
			NodeName: on, ServiceAccountName: "runner", Containers: []corev1.Container{{Name: "c", Image: "i"}},
		}}
	}
	_, err = n1.CoreV1().Pods("default").Create(ctx, pod("p", "n1"), metav1.CreateOptions{})
	wantForbidden(t, "a pod", err, `pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods`)
	for _, p := range []*corev1.Pod{pod("mine", "n1"), pod("other", "n2")} {
		if _, err := root.CoreV1().Pods("default").Create(ctx, p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	wantForbidden(t, "another node's pod", n1.CoreV1().Pods("default").Delete(ctx, "other", now), `node "n1" can only delete pods with spec.nodeName set to itself`)
	if err := n1.CoreV1().Pods("default").Delete(ctx, "mine", now); err != nil {
		t.Errorf("its own pod: %v", err)
	}
}

func TestCertificateAdmission(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	ctx, root := t.Context(), admin(t, s)
	approver, _ := caller(t, s, "approver")
	request := func(name, signer string, organization ...string) (*certificatesv1.CertificateSigningRequest, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		pem, err := cert.MakeCSR(key, &pkix.Name{CommonName: "jane", Organization: organization}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return root.CertificatesV1().CertificateSigningRequests().Create(ctx, &certificatesv1.CertificateSigningRequest{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       certificatesv1.CertificateSigningRequestSpec{Request: pem, SignerName: signer, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth}},
		}, metav1.CreateOptions{})
	}
	_, err := request("masters", "kubernetes.io/kube-apiserver-client", "system:masters")
	wantForbidden(t, "a certificate of the masters", err, "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed")

	csr, err := request("jane", "example.org/signer")
	if err != nil {
		t.Fatal(err)
	}
	grant(t, s, "approver", true, allow("certificates.k8s.io", "certificatesigningrequests/approval,certificatesigningrequests/status", "update"))
	csr.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test", Message: "test"}}
	_, err = approver.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, "jane", csr, metav1.UpdateOptions{})
	wantForbidden(t, "approval without the signer", err, `user not permitted to approve requests with signerName "example.org/signer"`)
	signed, _, err := cert.GenerateSelfSignedCertKey("jane", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	csr.Status = certificatesv1.CertificateSigningRequestStatus{Certificate: signed}
	_, err = approver.CertificatesV1().CertificateSigningRequests().UpdateStatus(ctx, csr, metav1.UpdateOptions{})
	wantForbidden(t, "signing without the signer", err, `user not permitted to sign requests with signerName "example.org/signer"`)
}
