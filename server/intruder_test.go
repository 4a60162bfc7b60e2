package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/cert"

	"github.com/howdah/howdah/auth/pki/pkitest"
	"github.com/howdah/howdah/storage/storagetest"
)

// podOn is a pod of an account that a node runs.
func podOn(t *testing.T, client kubernetes.Interface, name, node, account string) *corev1.Pod {
	t.Helper()
	pod, err := client.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{NodeName: node, ServiceAccountName: account, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// TestTokensOfOthers is a kubelet, and a user, that ask for tokens which are not
// for them.
func TestTokensOfOthers(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	root := admin(t, s)
	for _, name := range []string{"one", "two", "idle"} {
		makeAccount(t, root, name)
	}
	for _, name := range []string{"n1", "n2"} {
		if _, err := root.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	mine, theirs := podOn(t, root, "mine", "n1", "one"), podOn(t, root, "theirs", "n2", "two")
	shared := podOn(t, root, "shared", "n2", "one")
	n1, _ := caller(t, s, "system:node:n1", "system:nodes")
	token := func(account string, pod *corev1.Pod, audiences ...string) (string, error) {
		spec := authenticationv1.TokenRequestSpec{Audiences: audiences}
		if pod != nil {
			spec.BoundObjectRef = &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID}
		}
		request, err := n1.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), account, &authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
		if err != nil {
			return "", err
		}
		return request.Status.Token, nil
	}

	got, err := token("one", mine)
	if err != nil {
		t.Fatalf("a node gets no token for its own pod: %v", err)
	}
	who, err := whoAmI(t, s, got)
	if err != nil || who.Username != "system:serviceaccount:default:one" || who.Extra["authentication.kubernetes.io/node-name"][0] != "n1" {
		t.Errorf("the token of a node's pod is %+v: %v", who, err)
	}
	former := mine.DeepCopy()
	former.UID = "former"
	for what, c := range map[string]struct {
		account   string
		pod       *corev1.Pod
		audiences []string
		want      string
	}{
		"of no pod":                          {"one", nil, nil, "node requested token not bound to a pod"},
		"of another node's account":          {"two", theirs, nil, "no relationship found between node 'n1' and this object"},
		"of an account that no pod has":      {"idle", mine, nil, "no relationship found between node 'n1' and this object"},
		"of another node's pod":              {"one", shared, nil, "node requested token bound to a pod scheduled on a different node"},
		"of its pod's former life":           {"one", former, nil, "the UID in the bound object reference (former) does not match the UID in record"},
		"for somebody the pod does not name": {"one", mine, []string{"vault"}, `system:node:n1 is not authorized to request tokens for audience "vault"`},
	} {
		_, err := token(c.account, c.pod, c.audiences...)
		wantForbidden(t, "a token "+what, err, c.want)
	}

	// Once the pod has moved on, so has the account.
	now := int64(0)
	if err := root.CoreV1().Pods("default").Delete(t.Context(), "mine", metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	_, err = token("one", mine)
	wantForbidden(t, "a token of a pod that is gone", err, "no relationship found between node 'n1' and this object")
	expectWho(t, s, got, "")

	// A user may ask for the tokens of the accounts that a rule names, and of no other.
	named := allow("", "serviceaccounts/token", "create")
	named.ResourceNames = []string{"one"}
	grant(t, s, "jane", false, named)
	jane, _ := caller(t, s, "jane")
	if _, err := jane.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "one", &authenticationv1.TokenRequest{}, metav1.CreateOptions{}); err != nil {
		t.Errorf("a token that a rule allows: %v", err)
	}
	_, err = jane.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "two", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	wantForbidden(t, "a token of another account", err, `User "jane" cannot create resource "serviceaccounts/token" in API group "" in the namespace "default"`)
	_, err = jane.CoreV1().ServiceAccounts("kube-system").CreateToken(t.Context(), "one", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	wantForbidden(t, "a token of another namespace", err, `in the namespace "kube-system"`)
}

// signingRequest is for a certificate of that name and organizations.
func signingRequest(t *testing.T, name, signer, subject string, organizations ...string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := cert.MakeCSR(key, &pkix.Name{CommonName: subject, Organization: organizations}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: pem, SignerName: signer, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}
}

// TestCertificatesOfOthers is about who asks for a certificate: a kubelet for
// another node, a user in somebody else's name, or one who approves it himself.
func TestCertificatesOfOthers(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	root, ctx := admin(t, s), t.Context()
	const kubelet = certificatesv1.KubeAPIServerClientKubeletSignerName
	n1, _ := caller(t, s, "system:node:n1", "system:nodes")
	if _, err := n1.CertificatesV1().CertificateSigningRequests().Create(ctx, signingRequest(t, "own", kubelet, "system:node:n1", "system:nodes"), metav1.CreateOptions{}); err != nil {
		t.Errorf("a node's own certificate: %v", err)
	}
	_, err := n1.CertificatesV1().CertificateSigningRequests().Create(ctx, signingRequest(t, "other", kubelet, "system:node:n2", "system:nodes"), metav1.CreateOptions{})
	wantForbidden(t, "another node's certificate", err, "can only create a node CSR with CN=system:node:n1")
	serving := signingRequest(t, "serving", certificatesv1.KubeletServingSignerName, "system:node:n2", "system:nodes")
	serving.Spec.Usages[1] = certificatesv1.UsageServerAuth
	_, err = n1.CertificatesV1().CertificateSigningRequests().Create(ctx, serving, metav1.CreateOptions{})
	wantForbidden(t, "another node's serving certificate", err, "can only create a node CSR with CN=system:node:n1")

	// Who asks, and whether it was approved, the server says and not the request.
	grant(t, s, "jane", true, allow("certificates.k8s.io", "certificatesigningrequests", "create", "get", "update", "patch"))
	jane, _ := caller(t, s, "jane", "devs")
	requests := jane.CertificatesV1().CertificateSigningRequests()
	asked := signingRequest(t, "forged", kubelet, "system:node:n1", "system:nodes")
	asked.Spec.Username, asked.Spec.Groups, asked.Spec.UID = "system:node:n1", []string{"system:nodes", "system:masters"}, "7"
	asked.Spec.Extra = map[string]certificatesv1.ExtraValue{"a": {"b"}}
	approved := []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Mine", Message: "mine"}}
	asked.Status.Conditions, asked.Status.Certificate = approved, []byte("x")
	csr, err := requests.Create(ctx, asked, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	hers := func(what string, csr *certificatesv1.CertificateSigningRequest) {
		t.Helper()
		if csr.Spec.Username != "jane" || strings.Join(csr.Spec.Groups, " ") != "devs system:authenticated" || csr.Spec.UID != "" ||
			csr.Spec.SignerName != kubelet || len(csr.Status.Conditions) > 0 || len(csr.Status.Certificate) > 0 {
			t.Errorf("%s makes it %+v %+v", what, csr.Spec, csr.Status)
		}
	}
	hers("a create", csr)
	csr.Spec.Username, csr.Spec.SignerName, csr.Status.Conditions = "system:node:n1", certificatesv1.KubeAPIServerClientSignerName, approved
	if csr, err = requests.Update(ctx, csr, metav1.UpdateOptions{}); err == nil {
		hers("an update", csr)
	}
	patch := []byte(`{"spec":{"username":"root"},"status":{"conditions":[{"type":"Approved","status":"True","reason":"Mine","message":"mine"}]}}`)
	if csr, err = requests.Patch(ctx, "forged", types.MergePatchType, patch, metav1.PatchOptions{}); err == nil {
		hers("a patch", csr)
	}
	apply := []byte(`{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"forged"},"status":{"conditions":[{"type":"Approved","status":"True","reason":"Mine","message":"mine"}]}}`)
	if csr, err = requests.Patch(ctx, "forged", types.ApplyPatchType, apply, metav1.PatchOptions{FieldManager: "jane", Force: new(true)}); err == nil {
		hers("an apply", csr)
	}
	if csr, err = root.CertificatesV1().CertificateSigningRequests().Get(ctx, "forged", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	hers("all of that", csr)
	csr.Status.Conditions = approved
	_, err = requests.UpdateApproval(ctx, "forged", csr, metav1.UpdateOptions{})
	wantForbidden(t, "her own approval", err, `User "jane" cannot update resource "certificatesigningrequests/approval"`)

	// The right to approve for one signer is none for another, nor to sign.
	grant(t, s, "jane", true, allow("certificates.k8s.io", "certificatesigningrequests/approval,certificatesigningrequests/status", "update"),
		rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"signers"}, ResourceNames: []string{"example.org/*"}, Verbs: []string{"approve"}})
	_, err = requests.UpdateApproval(ctx, "forged", csr, metav1.UpdateOptions{})
	wantForbidden(t, "an approval for another signer", err, `user not permitted to approve requests with signerName "`+kubelet+`"`)
	mine, err := requests.Create(ctx, signingRequest(t, "mine", "example.org/a", "jane"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mine.Status.Conditions = approved
	if mine, err = requests.UpdateApproval(ctx, "mine", mine, metav1.UpdateOptions{}); err != nil {
		t.Fatalf("an approval for her signer: %v", err)
	}
	if mine.Status.Certificate, _, err = cert.GenerateSelfSignedCertKey("jane", nil, nil); err != nil {
		t.Fatal(err)
	}
	_, err = requests.UpdateStatus(ctx, mine, metav1.UpdateOptions{})
	wantForbidden(t, "signing by an approver", err, `user not permitted to sign requests with signerName "example.org/a"`)
}

// TestAuthorityGoes: certificates of an authority that is taken out of the file
// are refused on the connections that they opened, and new ones taken.
func TestAuthorityGoes(t *testing.T) {
	t.Parallel()
	old, young := pkitest.New(t, "old", 0), pkitest.New(t, "young", 0)
	file := old.File(t)
	s := start(t, Options{DataDir: t.TempDir(), ClientCAFile: file})
	eve, ada := clientBy(t, old, pkitest.Subject("eve", x509.ExtKeyUsageClientAuth)), clientBy(t, young, pkitest.Subject("ada", x509.ExtKeyUsageClientAuth))
	var dials atomic.Int64
	eve.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	if got := askRaw(t, eve, s, http.Header{}); got != "eve  system:authenticated" {
		t.Fatalf("at first eve is %q", got)
	}
	if got := askRaw(t, ada, s, http.Header{}); got != "401" {
		t.Fatalf("at first ada is %q", got)
	}
	if err := os.Rename(young.File(t), file); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if got := askRaw(t, eve, s, http.Header{}); got == "401" {
			break
		} else if got != "eve  system:authenticated" || time.Now().After(deadline) {
			t.Fatalf("eve is %q after her authority went", got)
		}
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("eve connected %d times, so it is not the first connection that is refused", n)
	}
	if got := askRaw(t, ada, s, http.Header{}); got != "ada  system:authenticated" {
		t.Errorf("ada is %q after her authority came", got)
	}
}

// TestRightsAreThoseOfNow: what somebody may give away is what he has now,
// though it was given or taken a moment ago through another server.
func TestRightsAreThoseOfNow(t *testing.T) {
	t.Parallel()
	database := storagetest.Postgres(t)
	one := start(t, Options{DataDir: t.TempDir(), DatastoreEndpoint: database})
	two := start(t, Options{DataDir: t.TempDir(), DatastoreEndpoint: database})
	const group = rbacv1.GroupName
	grant(t, two, "jane", false, allow(group, "roles,rolebindings", "create"))
	root := admin(t, one).RbacV1()
	reader, err := root.Roles("default").Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Rules: []rbacv1.PolicyRule{allow("", "pods", "get")}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	jane, _ := caller(t, two, "jane")
	give := func() error {
		_, err := jane.RbacV1().Roles("default").Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{GenerateName: "hers-"}, Rules: reader.Rules}, metav1.CreateOptions{})
		return err
	}
	for range 20 {
		binding, err := root.RoleBindings("default").Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "jane-"},
			RoleRef:    rbacv1.RoleRef{APIGroup: group, Kind: "Role", Name: "reader"},
			Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: group, Name: "jane"}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := give(); err != nil {
			t.Errorf("a right that she was given: %v", err)
		}
		// A role made through the other server can be bound at once.
		made, err := root.Roles("default").Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{GenerateName: "made-"}, Rules: reader.Rules}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jane.RbacV1().RoleBindings("default").Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "hers-"}, RoleRef: rbacv1.RoleRef{APIGroup: group, Kind: "Role", Name: made.Name},
		}, metav1.CreateOptions{}); err != nil {
			t.Errorf("a role that was just made: %v", err)
		}
		if err := root.RoleBindings("default").Delete(t.Context(), binding.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		wantForbidden(t, "a right that was taken from her", give(), "is attempting to grant RBAC permissions not currently held")
	}
}

// TestPodCertificatesOfOthers is a kubelet that asks for certificates of pods which
// it does not run.
func TestPodCertificatesOfOthers(t *testing.T) {
	t.Parallel()
	s := start(t, Options{DataDir: t.TempDir()})
	root, ctx := admin(t, s), t.Context()
	makeAccount(t, root, "one")
	account, err := root.CoreV1().ServiceAccounts("default").Get(ctx, "one", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	uids := map[string]types.UID{}
	for _, name := range []string{"n1", "n2"} {
		node, err := root.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		uids[name] = node.UID
	}
	const signer = "example.org/pods"
	pod := func(name, node string) *corev1.Pod {
		t.Helper()
		source := corev1.VolumeProjection{PodCertificate: &corev1.PodCertificateProjection{SignerName: signer, KeyType: "ECDSAP256", CredentialBundlePath: "c.pem"}}
		made, err := root.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
			NodeName: node, ServiceAccountName: "one", Containers: []corev1.Container{{Name: "c", Image: "i"}},
			Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{source}}}}},
		}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	mine, theirs := pod("mine", "n1"), pod("theirs", "n2")
	n1, _ := caller(t, s, "system:node:n1", "system:nodes")
	n2, _ := caller(t, s, "system:node:n2", "system:nodes")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stub, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	request := func(name string, pod *corev1.Pod, node string) *certificatesv1.PodCertificateRequest {
		return &certificatesv1.PodCertificateRequest{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: certificatesv1.PodCertificateRequestSpec{
			SignerName: signer, PodName: pod.Name, PodUID: pod.UID, ServiceAccountName: account.Name, ServiceAccountUID: account.UID,
			NodeName: types.NodeName(node), NodeUID: uids[node], StubPKCS10Request: stub,
		}}
	}
	requests := n1.CertificatesV1().PodCertificateRequests("default")
	// What the plugin knows of nodes and pods is a moment behind.
	var made error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, made = requests.Create(ctx, request("mine", mine, "n1"), metav1.CreateOptions{}); made == nil {
			break
		}
	}
	if made != nil {
		t.Fatalf("a certificate for a node's own pod: %v", made)
	}
	_, err = requests.Create(ctx, request("other", theirs, "n2"), metav1.CreateOptions{})
	wantForbidden(t, "in another node's name", err, `which is not the requesting node "n1"`)
	_, err = requests.Create(ctx, request("theirs", theirs, "n1"), metav1.CreateOptions{})
	wantForbidden(t, "for another node's pod", err, `pod "default/theirs" is not running on node "n1"`)
	former := mine.DeepCopy()
	former.UID = "former"
	if _, err = requests.Create(ctx, request("former", former, "n1"), metav1.CreateOptions{}); err == nil {
		t.Error("a certificate for a pod's former life")
	}
	if _, err = requests.Get(ctx, "mine", metav1.GetOptions{}); err != nil {
		t.Errorf("its own request: %v", err)
	}
	_, err = n2.CertificatesV1().PodCertificateRequests("default").Get(ctx, "mine", metav1.GetOptions{})
	wantForbidden(t, "another node's request", err, "no relationship found between node 'n2' and this object")
	if _, err = requests.List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=n1"}); err != nil {
		t.Errorf("its own requests: %v", err)
	}
	_, err = requests.List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=n2"})
	wantForbidden(t, "another node's requests", err, "can only list/watch podcertificaterequests with nodeName field selector")
}

// TestTrustBundlesOfSigners: who writes a bundle that is a signer's word needs the
// right to attest for it.
func TestTrustBundlesOfSigners(t *testing.T) {
	t.Parallel()
	s := start(t, Options{DataDir: t.TempDir()})
	ctx := t.Context()
	grant(t, s, "jane", true,
		rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"signers"}, ResourceNames: []string{"example.org/mine", "example.org/few.*"}, Verbs: []string{"attest"}},
		allow("certificates.k8s.io", "clustertrustbundles", "create", "update"))
	jane, _ := caller(t, s, "jane")
	bundles := jane.CertificatesV1().ClusterTrustBundles()
	bundle := func(name, signer string) *certificatesv1.ClusterTrustBundle {
		return &certificatesv1.ClusterTrustBundle{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: certificatesv1.ClusterTrustBundleSpec{
			SignerName: signer, TrustBundle: string(pkitest.New(t, name, 0).PEM()),
		}}
	}
	if _, err := bundles.Create(ctx, bundle("nobodys", ""), metav1.CreateOptions{}); err != nil {
		t.Errorf("a bundle of no signer: %v", err)
	}
	mine, err := bundles.Create(ctx, bundle("example.org:mine:a", "example.org/mine"), metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("a bundle of her signer: %v", err)
	}
	mine.Spec.TrustBundle = bundle("b", "").Spec.TrustBundle
	if _, err := bundles.Update(ctx, mine, metav1.UpdateOptions{}); err != nil {
		t.Errorf("another bundle of her signer: %v", err)
	}
	_, err = bundles.Create(ctx, bundle("example.org:theirs:a", "example.org/theirs"), metav1.CreateOptions{})
	wantForbidden(t, "a bundle of another signer", err, `user not permitted to attest for signerName "example.org/theirs"`)
	theirs, err := admin(t, s).CertificatesV1().ClusterTrustBundles().Create(ctx, bundle("example.org:theirs:a", "example.org/theirs"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	theirs.Spec.TrustBundle = bundle("b", "").Spec.TrustBundle
	_, err = bundles.Update(ctx, theirs, metav1.UpdateOptions{})
	wantForbidden(t, "another signer's bundle, changed", err, `user not permitted to attest for signerName "example.org/theirs"`)
}
