package controllers_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	migrationv1 "k8s.io/api/storagemigration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/cluster-bootstrap/token/jws"

	"github.com/howdah/howdah/controllers"
)

func (c *cluster) secret(namespace string, s *corev1.Secret) *corev1.Secret {
	c.Helper()
	return must(c.client.CoreV1().Secrets(namespace).Create(c.ctx, s, metav1.CreateOptions{}))(c)
}

func TestTokenSecrets(t *testing.T) {
	c := start(t, nil, "serviceaccount-token")
	accounts, secrets := c.client.CoreV1().ServiceAccounts("default"), c.client.CoreV1().Secrets("default")
	token := func(name, account string) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{corev1.ServiceAccountNameKey: account}},
			Type:       corev1.SecretTypeServiceAccountToken,
		}
	}
	account := must(accounts.Create(c.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}}, metav1.CreateOptions{}))(t)
	c.secret("default", token("robot-token", "robot"))
	full := await(c, secrets, "robot-token", func(s *corev1.Secret) bool { return len(s.Data["token"]) > 0 })
	if string(full.Data["ca.crt"]) != string(c.config.CAData) || string(full.Data["namespace"]) != "default" || full.Annotations[corev1.ServiceAccountUIDKey] != string(account.UID) {
		t.Errorf("%+v", full)
	}
	config := rest.AnonymousClientConfig(c.config)
	config.BearerToken = string(full.Data["token"])
	review := must(must(kubernetes.NewForConfig(config))(t).AuthenticationV1().SelfSubjectReviews().Create(c.ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{}))(t)
	if review.Status.UserInfo.Username != "system:serviceaccount:default:robot" {
		t.Errorf("the token is %s's", review.Status.UserInfo.Username)
	}

	// A reference to a token that goes, goes; so does the token of an account.
	account = must(accounts.Get(c.ctx, "robot", metav1.GetOptions{}))(t)
	account.Secrets = []corev1.ObjectReference{{Name: "robot-token"}, {Name: "kept"}}
	must(accounts.Update(c.ctx, account, metav1.UpdateOptions{}))(t)
	c.secret("default", token("kept", "robot"))
	await(c, secrets, "kept", func(s *corev1.Secret) bool { return len(s.Data["token"]) > 0 })
	if err := secrets.Delete(c.ctx, "robot-token", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(c, accounts, "robot", func(a *corev1.ServiceAccount) bool { return len(a.Secrets) == 1 })
	if err := accounts.Delete(c.ctx, "robot", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitGone(c, secrets, "kept")
	c.secret("default", token("nobodys", "nobody"))
	awaitGone(c, secrets, "nobodys")
}

func TestBootstrapTokens(t *testing.T) {
	c := start(t, nil, "bootstrap-signer-controller", "tokencleaner")
	info := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cluster-info"}, Data: map[string]string{"kubeconfig": "clusters: []"}}
	must(c.client.CoreV1().ConfigMaps("kube-public").Create(c.ctx, info, metav1.CreateOptions{}))(t)
	token := func(id string, expires time.Time) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + id}, Type: "bootstrap.kubernetes.io/token",
			StringData: map[string]string{"token-id": id, "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true", "expiration": expires.Format(time.RFC3339)},
		}
	}
	c.secret("kube-system", token("aaaaaa", time.Now().Add(time.Hour)))
	await(c, c.client.CoreV1().ConfigMaps("kube-public"), "cluster-info", func(m *corev1.ConfigMap) bool {
		return jws.DetachedTokenIsValid(m.Data["jws-kubeconfig-aaaaaa"], "clusters: []", "aaaaaa", "0123456789abcdef")
	})
	c.secret("kube-system", token("bbbbbb", time.Now().Add(2*time.Second)))
	awaitGone(c, c.client.CoreV1().Secrets("kube-system"), "bootstrap-token-bbbbbb")
	await(c, c.client.CoreV1().ConfigMaps("kube-public"), "cluster-info", func(m *corev1.ConfigMap) bool { return len(m.Data) == 2 })
}

func TestNodesGetPodCIDRs(t *testing.T) {
	c := start(t, func(o *controllers.Options) {
		o.Config.KubeCloudShared.AllocateNodeCIDRs, o.Config.KubeCloudShared.ClusterCIDR = true, "10.0.0.0/22,fd00::/62" // 10.0.0.0/24 is the Services'
	}, "nodeipam")
	nodes := c.client.CoreV1().Nodes()
	var given []string
	for _, name := range []string{"a", "b", "c"} {
		must(nodes.Create(c.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))(t)
		node := await(c, nodes, name, func(n *corev1.Node) bool { return len(n.Spec.PodCIDRs) == 2 })
		given = append(given, node.Spec.PodCIDRs[0])
	}
	if slices.Sort(given); !slices.Equal(given, []string{"10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"}) {
		t.Errorf("given are %v", given)
	}
	must(nodes.Create(c.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "d"}}, metav1.CreateOptions{}))(t)
	c.awaitEvent("default", "d", "CIDRNotAvailable")
	freed := must(nodes.Get(c.ctx, "b", metav1.GetOptions{}))(t).Spec.PodCIDR
	if err := nodes.Delete(c.ctx, "b", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if d := await(c, nodes, "d", func(n *corev1.Node) bool { return n.Spec.PodCIDR != "" }); d.Spec.PodCIDR != freed {
		t.Errorf("d has %s, b had %s", d.Spec.PodCIDR, freed)
	}
}

func TestServiceCIDRsWaitForAddresses(t *testing.T) {
	c := start(t, nil, "service-cidr-controller")
	cidrs, services := c.client.NetworkingV1().ServiceCIDRs(), c.client.CoreV1().Services("default")
	must(cidrs.Create(c.ctx, &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "more"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.9.0.0/24"}}}, metav1.CreateOptions{}))(t)
	await(c, cidrs, "more", func(s *networkingv1.ServiceCIDR) bool {
		return len(s.Finalizers) == 1 && meta.IsStatusConditionTrue(s.Status.Conditions, networkingv1.ServiceCIDRConditionReady)
	})
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ServiceSpec{ClusterIP: "10.9.0.5", Ports: []corev1.ServicePort{{Port: 80}}}}
	for {
		if _, err := services.Create(c.ctx, service, metav1.CreateOptions{}); err == nil {
			break
		} else if !strings.Contains(err.Error(), "10.9.0.5") || c.ctx.Err() != nil { // the server learns of the range in a moment
			t.Fatal(err)
		}
	}
	if err := cidrs.Delete(c.ctx, "more", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(c, cidrs, "more", func(s *networkingv1.ServiceCIDR) bool {
		ready := meta.FindStatusCondition(s.Status.Conditions, networkingv1.ServiceCIDRConditionReady)
		return ready.Status == metav1.ConditionFalse && ready.Reason == networkingv1.ServiceCIDRReasonTerminating
	})
	if err := services.Delete(c.ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitGone(c, cidrs, "more")
}

func TestPoliciesTellOfTypes(t *testing.T) {
	c := start(t, nil, "validatingadmissionpolicy-status-controller")
	policies := c.client.AdmissionregistrationV1().ValidatingAdmissionPolicies()
	must(policies.Create(c.ctx, &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "wrong"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
				Operations: []admissionregistrationv1.OperationType{"*"},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
			}}}},
			Validations: []admissionregistrationv1.Validation{{Expression: "object.spec.replicas <= 5"}, {Expression: "object.spec.replicaz <= 5"}},
		},
	}, metav1.CreateOptions{}))(t)
	checked := await(c, policies, "wrong", func(p *admissionregistrationv1.ValidatingAdmissionPolicy) bool {
		return p.Status.ObservedGeneration == p.Generation
	})
	if checked.Status.TypeChecking == nil || len(checked.Status.TypeChecking.ExpressionWarnings) != 1 {
		t.Fatalf("%+v", checked.Status)
	}
	if w := checked.Status.TypeChecking.ExpressionWarnings[0]; w.FieldRef != "spec.validations[1].expression" || !strings.Contains(w.Warning, "undefined field 'replicaz'") {
		t.Errorf("%+v", w)
	}
}

func TestStorageIsMigrated(t *testing.T) {
	c := start(t, nil, "storage-version-migrator-controller")
	before := c.configMap("default", "old")
	migrations := c.client.StoragemigrationV1().StorageVersionMigrations()
	for name, resource := range map[string]string{"maps": "configmaps", "maps-again": "configmaps"} {
		must(migrations.Create(c.ctx, &migrationv1.StorageVersionMigration{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: migrationv1.StorageVersionMigrationSpec{Resource: metav1.GroupResource{Resource: resource}},
		}, metav1.CreateOptions{}))(t)
		m := await(c, migrations, name, func(m *migrationv1.StorageVersionMigration) bool {
			return meta.IsStatusConditionTrue(m.Status.Conditions, "Succeeded") && meta.IsStatusConditionFalse(m.Status.Conditions, "Running")
		})
		if m.Status.ResourceVersion == "" || len(m.Status.Conditions) != 2 {
			t.Errorf("%+v", m.Status)
		}
	}
	if after := must(c.client.CoreV1().ConfigMaps("default").Get(c.ctx, "old", metav1.GetOptions{}))(t); after.UID != before.UID || after.Generation != before.Generation {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func TestTrustBundleIsPublished(t *testing.T) {
	c := start(t, nil, "kube-apiserver-serving-clustertrustbundle-publisher-controller")
	bundles := c.client.CertificatesV1().ClusterTrustBundles()
	watcher := must(bundles.Watch(c.ctx, metav1.ListOptions{FieldSelector: "spec.signerName=kubernetes.io/kube-apiserver-serving"}))(t)
	defer watcher.Stop()
	bundle := (<-watcher.ResultChan()).Object.(*certificatesv1.ClusterTrustBundle)
	if bundle.Spec.TrustBundle != string(c.config.CAData) || !strings.HasPrefix(bundle.Name, "kubernetes.io:kube-apiserver-serving:") {
		t.Errorf("%+v", bundle)
	}
	// What doesn't belong goes; what is deleted comes back.
	must(bundles.Create(c.ctx, &certificatesv1.ClusterTrustBundle{
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes.io:kube-apiserver-serving:old"},
		Spec:       certificatesv1.ClusterTrustBundleSpec{SignerName: "kubernetes.io/kube-apiserver-serving", TrustBundle: bundle.Spec.TrustBundle},
	}, metav1.CreateOptions{}))(t)
	awaitGone(c, bundles, "kubernetes.io:kube-apiserver-serving:old")
	if err := bundles.Delete(c.ctx, bundle.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(c, bundles, bundle.Name, func(b *certificatesv1.ClusterTrustBundle) bool { return b.UID != bundle.UID })
}
