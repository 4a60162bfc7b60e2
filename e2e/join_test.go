package e2e

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/certificate/csr"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/cluster-bootstrap/token/jws"
	"k8s.io/kubernetes/pkg/kubelet/certificate/bootstrap"
)

// TestKubeletJoins is what kubeadm and a kubelet do until a node is a member: an
// administrator makes a bootstrap token; whoever has it finds the cluster's
// authority in the signed cluster-info, gets a certificate with the kubelet's own
// code, registers the node, renews the certificate and asks for one to serve by.
func TestKubeletJoins(t *testing.T) {
	ctx := testContext(t)
	s := newServer(t, "", "--enable-bootstrap-token-auth", "--controllers=*,bootstrapsigner,tokencleaner")
	admin := must(kubernetes.NewForConfig(s.config()))(t)

	// kubeadm init.
	const id, secret, joiners = "abcdef", "0123456789abcdef", "system:bootstrappers:kubeadm:default-node-token"
	must(admin.CoreV1().Secrets("kube-system").Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + id}, Type: "bootstrap.kubernetes.io/token",
		StringData: map[string]string{
			"token-id": id, "token-secret": secret, "usage-bootstrap-signing": "true", "usage-bootstrap-authentication": "true",
			"auth-extra-groups": joiners, "expiration": time.Now().Add(time.Hour).Format(time.RFC3339),
		},
	}, metav1.CreateOptions{}))(t)
	public := clientcmdapi.NewConfig()
	public.Clusters[""] = &clientcmdapi.Cluster{Server: s.config().Host, CertificateAuthorityData: s.config().CAData}
	info := string(must(clientcmd.Write(*public))(t))
	must(admin.CoreV1().ConfigMaps("kube-public").Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "cluster-info"}, Data: map[string]string{"kubeconfig": info},
	}, metav1.CreateOptions{}))(t)
	must(admin.RbacV1().Roles("kube-public").Create(ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "cluster-info"},
		Rules:      []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"cluster-info"}}},
	}, metav1.CreateOptions{}))(t)
	must(admin.RbacV1().RoleBindings("kube-public").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "cluster-info"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "cluster-info"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "system:anonymous"}},
	}, metav1.CreateOptions{}))(t)
	for role, group := range map[string]string{
		"system:node-bootstrapper": joiners,
		"system:certificates.k8s.io:certificatesigningrequests:nodeclient":     joiners,
		"system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": "system:nodes",
	} {
		must(admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "join-"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group}},
		}, metav1.CreateOptions{}))(t)
	}

	// kubeadm join: nothing is known but the token and where the server is.
	stranger := must(kubernetes.NewForConfig(&rest.Config{Host: s.config().Host, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}))(t)
	awaitObject(ctx, t, admin.CoreV1().RESTClient(), "configmaps", "kube-public", "cluster-info", &corev1.ConfigMap{}, func(m *corev1.ConfigMap) bool {
		return m.Data["jws-kubeconfig-"+id] != ""
	})
	found := must(stranger.CoreV1().ConfigMaps("kube-public").Get(ctx, "cluster-info", metav1.GetOptions{}))(t)
	if !jws.DetachedTokenIsValid(found.Data["jws-kubeconfig-"+id], found.Data["kubeconfig"], id, secret) {
		t.Fatalf("cluster-info is not signed by the token: %+v", found.Data)
	}
	joining := must(clientcmd.Load([]byte(found.Data["kubeconfig"])))(t)
	joining.AuthInfos["kubelet-bootstrap"] = &clientcmdapi.AuthInfo{Token: id + "." + secret}
	joining.Contexts["join"] = &clientcmdapi.Context{AuthInfo: "kubelet-bootstrap"}
	joining.CurrentContext = "join"
	dir := t.TempDir()
	bootstrapFile, kubeconfig := filepath.Join(dir, "bootstrap-kubelet.conf"), filepath.Join(dir, "kubelet.conf")
	if err := clientcmd.WriteToFile(*joining, bootstrapFile); err != nil {
		t.Fatal(err)
	}

	// The kubelet.
	const name = "joined"
	if err := bootstrap.LoadClientCert(ctx, kubeconfig, bootstrapFile, dir, name); err != nil {
		t.Fatal(err)
	}
	access := must(clientcmd.BuildConfigFromFlags("", kubeconfig))(t)
	node := must(kubernetes.NewForConfig(access))(t)
	must(node.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))(t)
	must(node.CoreV1().Nodes().PatchStatus(ctx, name, []byte(`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`)))(t)
	must(node.CoordinationV1().Leases("kube-node-lease").Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: coordinationv1.LeaseSpec{HolderIdentity: new(name), LeaseDurationSeconds: new(int32(40)), RenewTime: new(metav1.NowMicro())},
	}, metav1.CreateOptions{}))(t)
	awaitObject(ctx, t, admin.CoreV1().RESTClient(), "nodes", "", name, &corev1.Node{}, func(n *corev1.Node) bool { return len(n.Spec.Taints) == 0 })
	if _, err := node.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("the node may register another one: %v", err)
	}

	// It renews its certificate, with which it may ask for the next one.
	subject := &pkix.Name{CommonName: "system:node:" + name, Organization: []string{"system:nodes"}}
	ask := func(signer string, usage certificatesv1.KeyUsage, hosts ...string) (string, types.UID) {
		t.Helper()
		pemKey := must(keyutil.MakeEllipticPrivateKeyPEM())(t)
		key := must(keyutil.ParsePrivateKeyPEM(pemKey))(t)
		request := must(cert.MakeCSR(key.(crypto.Signer), subject, hosts, nil))(t)
		name, uid, err := csr.RequestCertificateWithContext(ctx, node, request, "", signer, nil, []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, usage}, key)
		if err != nil {
			t.Fatal(err)
		}
		return name, uid
	}
	renewal, uid := ask(certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.UsageClientAuth)
	must(csr.WaitForCertificate(ctx, node, renewal, uid))(t)

	// One to serve by is signed when an administrator has approved it.
	serving, uid := ask(certificatesv1.KubeletServingSignerName, certificatesv1.UsageServerAuth, "joined.example.org")
	c := &cluster{servers: []*server{s}, environment: map[string]string{"REQUEST": serving}}
	t.Run("requests", func(t *testing.T) { c.run(t, "testdata/join.txtar") })
	issued := must(csr.WaitForCertificate(ctx, node, serving, uid))(t)
	block, _ := pem.Decode(issued)
	if block == nil {
		t.Fatalf("issued %q", issued)
	}
	leaf := must(x509.ParseCertificate(block.Bytes))(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(os.ReadFile(filepath.Join(s.dir, "pki", "ca.crt")))(t))
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "joined.example.org"}); err != nil {
		t.Error(err)
	}
}
