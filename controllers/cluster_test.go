package controllers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func TestClusterRolesAggregate(t *testing.T) {
	c := start(t, nil, "clusterrole-aggregation")
	roles := c.client.RbacV1().ClusterRoles()
	// Upstream's own: admin is made of edit, and edit of view.
	await(c, roles, "admin", func(role *rbacv1.ClusterRole) bool { return len(role.Rules) > 10 })
	must(roles.Create(c.ctx, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "widgets", Labels: map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"example.org"}, Resources: []string{"widgets"}, Verbs: []string{"get"}}},
	}, metav1.CreateOptions{}))(t)
	has := func(role *rbacv1.ClusterRole) bool {
		for _, rule := range role.Rules {
			if len(rule.Resources) > 0 && rule.Resources[0] == "widgets" {
				return true
			}
		}
		return false
	}
	await(c, roles, "admin", has)
	if err := roles.Delete(c.ctx, "widgets", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(c, roles, "admin", func(role *rbacv1.ClusterRole) bool { return !has(role) })
}

// certificateRequest is one in PEM, with its key.
func certificateRequest(t *testing.T, subject pkix.Name) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	der := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key))(t)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), key
}

// TestKubeletJoins is how a kubelet gets its certificate: a bootstrapper may ask
// for it, the request is approved and signed, and the certificate works.
func TestKubeletJoins(t *testing.T) {
	c := start(t, nil, "csrapproving", "csrsigning")
	for name, role := range map[string]string{
		"join": "system:certificates.k8s.io:certificatesigningrequests:nodeclient", "ask": "system:node-bootstrapper",
	} {
		must(c.client.RbacV1().ClusterRoleBindings().Create(c.ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:bootstrappers"}},
		}, metav1.CreateOptions{}))(t)
	}
	request, key := certificateRequest(t, pkix.Name{CommonName: "system:node:a", Organization: []string{"system:nodes"}})
	ask := func(config *rest.Config, signer string) *certificatesv1.CertificateSigningRequest {
		return must(must(kubernetes.NewForConfig(config))(t).CertificatesV1().CertificateSigningRequests().Create(c.ctx, &certificatesv1.CertificateSigningRequest{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "csr-"},
			Spec: certificatesv1.CertificateSigningRequestSpec{
				SignerName: signer, Request: request,
				Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
			},
		}, metav1.CreateOptions{}))(t)
	}
	bootstrapper := rest.CopyConfig(c.config)
	bootstrapper.Impersonate = rest.ImpersonationConfig{UserName: "system:bootstrap:token", Groups: []string{"system:bootstrappers", "system:authenticated"}}
	requests := c.client.CertificatesV1().CertificateSigningRequests()
	signed := func(r *certificatesv1.CertificateSigningRequest) bool { return len(r.Status.Certificate) > 0 }

	// Nobody may approve what these ask for.
	must(c.client.RbacV1().ClusterRoleBindings().Create(c.ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "jane-asks"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:node-bootstrapper"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "jane"}},
	}, metav1.CreateOptions{}))(t)
	jane := rest.CopyConfig(c.config)
	jane.Impersonate = rest.ImpersonationConfig{UserName: "jane", Groups: []string{"system:authenticated"}}
	refused := []string{ask(jane, certificatesv1.KubeAPIServerClientKubeletSignerName).Name, ask(bootstrapper, certificatesv1.KubeAPIServerClientSignerName).Name}

	issued := await(c, requests, ask(bootstrapper, certificatesv1.KubeAPIServerClientKubeletSignerName).Name, signed)
	if condition := issued.Status.Conditions[0]; condition.Reason != "AutoApproved" || condition.Message != "Auto approving kubelet client certificate after SubjectAccessReview." {
		t.Errorf("%+v", condition)
	}
	keyDER := must(x509.MarshalECPrivateKey(key))(t)
	node := rest.AnonymousClientConfig(c.config)
	node.CertData, node.KeyData = issued.Status.Certificate, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	if _, err := must(kubernetes.NewForConfig(node))(t).CoreV1().Nodes().Get(c.ctx, "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the new node asks for itself: %v", err)
	}

	for _, name := range refused {
		if r := must(requests.Get(c.ctx, name, metav1.GetOptions{}))(t); len(r.Status.Conditions) > 0 || len(r.Status.Certificate) > 0 {
			t.Errorf("%s by %s became %+v", r.Spec.SignerName, r.Spec.Username, r.Status)
		}
	}

	// Others wait for a human.
	other := ask(c.config, certificatesv1.KubeAPIServerClientSignerName)
	approved := must(requests.Get(c.ctx, other.Name, metav1.GetOptions{}))(t)
	if len(approved.Status.Conditions) != 0 {
		t.Errorf("%+v", approved.Status)
	}
	approved.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: "True", Reason: "me", Message: "me"}}
	must(requests.UpdateApproval(c.ctx, other.Name, approved, metav1.UpdateOptions{}))(t)
	await(c, requests, other.Name, signed)
}
