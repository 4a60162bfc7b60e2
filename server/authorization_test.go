package server

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/howdah/howdah/auth/pki/pkitest"
)

// caller is a client with a certificate of the cluster's authority.
func caller(t *testing.T, s *Server, name string, groups ...string) (*kubernetes.Clientset, *rest.Config) {
	t.Helper()
	config := rest.CopyConfig(adminConfig(t, s))
	config.CertData, config.KeyData = pkitest.Load(t, filepath.Join(s.options.DataDir, "pki")).ClientPEM(t, pkitest.Subject(name, x509.ExtKeyUsageClientAuth, groups...))
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client, config
}

func admin(t *testing.T, s *Server) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(adminConfig(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// grant gives a user permissions in the namespace default, or, with cluster, in
// all, and waits until they count.
func grant(t *testing.T, s *Server, user string, cluster bool, rules ...rbacv1.PolicyRule) {
	t.Helper()
	client := admin(t, s).RbacV1()
	meta, subjects := metav1.ObjectMeta{GenerateName: "grant-"}, []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: user}}
	role, err := client.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name}
	namespace := "default"
	if cluster {
		namespace = ""
		_, err = client.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}, metav1.CreateOptions{})
	} else {
		_, err = client.RoleBindings("default").Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	last := rules[len(rules)-1]
	review := authorizationv1.SubjectAccessReviewSpec{User: user}
	if len(last.NonResourceURLs) > 0 {
		review.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Verb: last.Verbs[0], Path: strings.TrimSuffix(last.NonResourceURLs[0], "*")}
	} else {
		resource, sub, _ := strings.Cut(last.Resources[0], "/")
		review.ResourceAttributes = &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: last.Verbs[0], Group: last.APIGroups[0], Resource: resource, Subresource: sub}
		if len(last.ResourceNames) > 0 {
			review.ResourceAttributes.Name = last.ResourceNames[0]
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		got, err := admin(t, s).AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{Spec: review}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Status.Allowed {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a new binding does not count: %+v", got.Status)
		}
	}
}

func allow(group, resources string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: strings.Split(resources, ","), Verbs: verbs}
}

func wantForbidden(t *testing.T, what string, err error, text string) {
	t.Helper()
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want a refusal that says %q", what, err, text)
	}
}

// TestEscalation is somebody who may write roles and bindings and wants more.
func TestEscalation(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	const group = rbacv1.GroupName
	grant(t, s, "jane", false, allow("", "pods", "get"), allow(group, "roles,rolebindings", "create", "get", "update", "patch"))
	grant(t, s, "jane", true, allow(group, "clusterroles,clusterrolebindings", "create", "get", "update", "patch"))
	jane, _ := caller(t, s, "jane")
	roles, bindings := jane.RbacV1().Roles("default"), jane.RbacV1().RoleBindings("default")
	clusterRoles, clusterBindings := jane.RbacV1().ClusterRoles(), jane.RbacV1().ClusterRoleBindings()
	ctx := t.Context()
	const notHeld = "is attempting to grant RBAC permissions not currently held"
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
	toJane := []rbacv1.Subject{{Kind: "User", APIGroup: group, Name: "jane"}}
	to := func(role string) rbacv1.RoleRef {
		return rbacv1.RoleRef{APIGroup: group, Kind: "ClusterRole", Name: role}
	}

	if _, err := roles.Create(ctx, &rbacv1.Role{ObjectMeta: named("mine"), Rules: []rbacv1.PolicyRule{allow("", "pods", "get")}}, metav1.CreateOptions{}); err != nil {
		t.Errorf("a role of what jane has: %v", err)
	}
	_, err := roles.Create(ctx, &rbacv1.Role{ObjectMeta: named("more"), Rules: []rbacv1.PolicyRule{allow("", "secrets", "get")}}, metav1.CreateOptions{})
	wantForbidden(t, "a role of more", err, notHeld)
	wantForbidden(t, "a role of more", err, `{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}`)
	_, err = roles.Update(ctx, &rbacv1.Role{ObjectMeta: named("mine"), Rules: []rbacv1.PolicyRule{allow("", "*", "get")}}, metav1.UpdateOptions{})
	wantForbidden(t, "a role that becomes more", err, notHeld)
	patch := []byte(`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"mine"},"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}`)
	_, err = roles.Patch(ctx, "mine", types.ApplyPatchType, patch, metav1.PatchOptions{FieldManager: "jane", Force: new(true)})
	wantForbidden(t, "an apply of more", err, notHeld)
	_, err = clusterRoles.Create(ctx, &rbacv1.ClusterRole{ObjectMeta: named("paths"), Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics"}}}}, metav1.CreateOptions{})
	wantForbidden(t, "paths", err, notHeld)
	_, err = clusterRoles.Create(ctx, &rbacv1.ClusterRole{ObjectMeta: named("everything"), AggregationRule: &rbacv1.AggregationRule{
		ClusterRoleSelectors: []metav1.LabelSelector{{}},
	}}, metav1.CreateOptions{})
	wantForbidden(t, "an aggregation", err, "must have cluster-admin privileges to use the aggregationRule")
	edit, err := clusterRoles.Get(ctx, "view", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	edit.AggregationRule.ClusterRoleSelectors = append(edit.AggregationRule.ClusterRoleSelectors, metav1.LabelSelector{})
	_, err = clusterRoles.Update(ctx, edit, metav1.UpdateOptions{})
	wantForbidden(t, "an aggregation of more", err, "")
	_, err = clusterRoles.Create(ctx, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "sneak", Labels: map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
		Rules:      []rbacv1.PolicyRule{allow("", "secrets", "get")},
	}, metav1.CreateOptions{})
	wantForbidden(t, "a part of an aggregation", err, notHeld)
	_, err = bindings.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: named("admin"), RoleRef: to("cluster-admin"), Subjects: toJane}, metav1.CreateOptions{})
	wantForbidden(t, "a binding to cluster-admin", err, notHeld)
	_, err = clusterBindings.Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: named("admin"), RoleRef: to("cluster-admin"), Subjects: toJane}, metav1.CreateOptions{})
	wantForbidden(t, "a cluster-wide binding to cluster-admin", err, notHeld)
	admins, err := clusterBindings.Get(ctx, "cluster-admin", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	admins.Subjects = append(admins.Subjects, toJane...)
	_, err = clusterBindings.Update(ctx, admins, metav1.UpdateOptions{})
	wantForbidden(t, "one more subject of cluster-admin", err, notHeld)
	_, err = bindings.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: named("later"), RoleRef: to("to-come"), Subjects: toJane}, metav1.CreateOptions{})
	if !apierrors.IsNotFound(err) || err.Error() != `clusterroles.rbac.authorization.k8s.io "to-come" not found` {
		t.Errorf("a binding to a role that may come later: %v", err)
	}
	sneaky, err := admin(t, s).RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: named("sneaky"), Rules: []rbacv1.PolicyRule{allow("", "secrets", "get")}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sneaky.Labels = map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}
	_, err = clusterRoles.Update(ctx, sneaky, metav1.UpdateOptions{})
	wantForbidden(t, "another's role, made a part of an aggregation", err, notHeld)
	_, err = clusterRoles.Patch(ctx, "sneaky", types.MergePatchType, []byte(`{"metadata":{"labels":{"rbac.authorization.k8s.io/aggregate-to-edit":"true"}}}`), metav1.PatchOptions{})
	wantForbidden(t, "the same by a patch", err, notHeld)

	// The verbs bind and escalate allow it, each for what it names.
	bind := allow(group, "clusterroles", "bind")
	bind.ResourceNames = []string{"view"}
	grant(t, s, "jane", false, bind)
	if _, err = bindings.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: named("view"), RoleRef: to("view"), Subjects: toJane}, metav1.CreateOptions{}); err != nil {
		t.Errorf("a binding that the verb bind allows: %v", err)
	}
	_, err = bindings.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: named("edit"), RoleRef: to("cluster-admin"), Subjects: toJane}, metav1.CreateOptions{})
	wantForbidden(t, "a binding that the verb bind does not name", err, notHeld)
	grant(t, s, "jane", false, allow(group, "roles", "escalate"))
	if _, err = roles.Create(ctx, &rbacv1.Role{ObjectMeta: named("more"), Rules: []rbacv1.PolicyRule{allow("", "secrets", "get")}}, metav1.CreateOptions{}); err != nil {
		t.Errorf("a role that the verb escalate allows: %v", err)
	}
	_, err = clusterRoles.Create(ctx, &rbacv1.ClusterRole{ObjectMeta: named("more"), Rules: []rbacv1.PolicyRule{allow("", "secrets", "get")}}, metav1.CreateOptions{})
	wantForbidden(t, "a cluster role, which the verb escalate does not name", err, notHeld)
}

// TestUpdateThatCreates needs the permission to create, too.
func TestUpdateThatCreates(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	grant(t, s, "jane", false, allow("", "configmaps", "patch", "update", "get"))
	jane, _ := caller(t, s, "jane")
	apply := func() error {
		_, err := jane.CoreV1().ConfigMaps("default").Patch(t.Context(), "new", types.ApplyPatchType,
			[]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new"}}`), metav1.PatchOptions{FieldManager: "jane"})
		return err
	}
	wantForbidden(t, "an apply that creates", apply(), `User "jane" cannot create resource "configmaps"`)
	grant(t, s, "jane", false, allow("", "configmaps", "create"))
	if err := apply(); err != nil {
		t.Error(err)
	}
}

func TestAccessReviews(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	grant(t, s, "jane", false, allow("", "pods", "list"))
	jane, _ := caller(t, s, "jane", "devs")
	ctx := t.Context()
	pods := &authorizationv1.ResourceAttributes{Namespace: "default", Verb: "list", Resource: "pods"}

	self, err := jane.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: pods},
	}, metav1.CreateOptions{})
	if err != nil || !self.Status.Allowed || !strings.HasPrefix(self.Status.Reason, `RBAC: allowed by RoleBinding "grant-`) {
		t.Errorf("her own review: %+v %v", self.Status, err)
	}
	_, err = jane.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: "joe", ResourceAttributes: pods},
	}, metav1.CreateOptions{})
	wantForbidden(t, "a review of somebody else", err, `User "jane" cannot create resource "subjectaccessreviews" in API group "authorization.k8s.io" at the cluster scope`)

	local, err := admin(t, s).AuthorizationV1().LocalSubjectAccessReviews("default").Create(ctx, &authorizationv1.LocalSubjectAccessReview{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default"}, Spec: authorizationv1.SubjectAccessReviewSpec{User: "joe", ResourceAttributes: pods},
	}, metav1.CreateOptions{})
	if err != nil || local.Status.Allowed || local.Status.Denied {
		t.Errorf("a local review of joe: %+v %v", local.Status, err)
	}
	rules, err := jane.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: "default"},
	}, metav1.CreateOptions{})
	if err != nil || rules.Status.Incomplete || !strings.Contains(fmt.Sprint(rules.Status.ResourceRules), "{[list] [] [pods] []}") || !strings.Contains(fmt.Sprint(rules.Status.NonResourceRules), "/openapi/*") {
		t.Errorf("her rules: %+v %v", rules, err)
	}
	node, _ := caller(t, s, "system:node:n1", "system:nodes")
	rules, err = node.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: "default"},
	}, metav1.CreateOptions{})
	if err != nil || !rules.Status.Incomplete || rules.Status.EvaluationError == "" {
		t.Errorf("a node's rules: %+v %v", rules, err)
	}
}

// TestNode is a kubelet that reads what its pods need and nothing else.
func TestNode(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	root, ctx := admin(t, s), t.Context()
	for _, name := range []string{"wanted", "other"} {
		if _, err := root.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := root.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{
		NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i"}},
		Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "wanted"}}}},
	}}
	if _, err := root.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	n1, _ := caller(t, s, "system:node:n1", "system:nodes")
	n2, _ := caller(t, s, "system:node:n2", "system:nodes")
	pretender, _ := caller(t, s, "system:node:n1")
	read := func(c *kubernetes.Clientset, name string) error {
		_, err := c.CoreV1().Secrets("default").Get(ctx, name, metav1.GetOptions{})
		return err
	}
	if err := read(n1, "wanted"); err != nil {
		t.Error(err)
	}
	wantForbidden(t, "a secret of no pod", read(n1, "other"), "no relationship found between node 'n1' and this object")
	wantForbidden(t, "another node's secret", read(n2, "wanted"), "no relationship found between node 'n2' and this object")
	wantForbidden(t, "a node without its group", read(pretender, "wanted"), `User "system:node:n1" cannot get resource "secrets"`)
	if _, err := n1.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=n1"}); err != nil {
		t.Error(err)
	}
	for _, selector := range []string{"", "spec.nodeName=n2", "spec.nodeName!=n1"} {
		_, err := n1.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: selector})
		wantForbidden(t, "pods of others", err, "can only list/watch pods with spec.nodeName field selector")
	}
	thief := pod.DeepCopy()
	thief.Name, thief.Spec.Volumes[0].Secret.SecretName = "thief", "other"
	_, err := n1.CoreV1().Pods("default").Create(ctx, thief, metav1.CreateOptions{})
	wantForbidden(t, "a pod of its own making", err, `node "n1" can only create mirror pods`)
	if err := root.CoreV1().Pods("default").Delete(ctx, "p", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}); err != nil {
		t.Fatal(err)
	}
	wantForbidden(t, "a secret of a pod that is gone", read(n1, "wanted"), "no relationship found")
}

// TestOddPaths asks for what a rule does not name, by paths that look as if it
// did. They are sent as they stand: Go's client would clean some of them.
func TestOddPaths(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	grant(t, s, "jane", true, allow("", "pods", "list"), rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"/healthz/*"}})
	_, config := caller(t, s, "jane")
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		t.Fatal(err)
	}
	tlsConfig.NextProtos = []string{"http/1.1"}
	for path, want := range map[string]int{
		"/healthz/etcd":                          200,
		"/healthz/..%2fmetrics":                  404, // allowed, as it begins so, and nothing is there
		"/healthz/../metrics":                    404,
		"/healthz/%2e%2e/metrics":                404,
		"//healthz/etcd":                         403,
		"/metrics":                               403,
		"//metrics":                              403,
		"/metrics/":                              403,
		"/./metrics":                             403,
		"/%6detrics":                             403,
		"/metrics%2f":                            403,
		"/metrics?x=/healthz/":                   403,
		"/metrics#/healthz/":                     403,
		"/api/v1/pods":                           200,
		"/api/v1/secrets":                        403,
		"/api/v1//secrets":                       403,
		"/api//v1/secrets":                       403,
		"//api/v1/secrets":                       403,
		"/api/v1/pods/../secrets":                403,
		"/api/v1/pods%2f..%2fsecrets":            403,
		"/api/v1%2fsecrets":                      403,
		"/api/v1/namespaces/default/pods/../x":   403,
		"/api/v1/namespaces/default/secrets/":    403,
		"/api/v1/namespaces/default%2fsecrets":   403,
		"/api/v1/watch/secrets":                  403,
		"/api/v1/namespaces//secrets":            403,
		"/apis/../api/v1/secrets":                403,
		"/api/v1/proxy/namespaces/default/pods/": 403,
	} {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(config.Host, "https://"), tlsConfig)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		conn.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", path, response.StatusCode, body, want)
		}
		if response.StatusCode == 403 && response.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: no X-Content-Type-Options", path)
		}
	}
}

// TestModesOfAServer are those that need nothing but the flag.
func TestModesOfAServer(t *testing.T) {
	options := Options{DataDir: t.TempDir()}
	options.Authorization.Modes = []string{"AlwaysAllow"}
	s := start(t, options)
	jane, _ := caller(t, s, "jane")
	if _, err := jane.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	options.DataDir = t.TempDir()
	options.Authorization.Modes = []string{"Nobody"}
	if _, err := New(options); err == nil || !strings.Contains(err.Error(), `authorization-mode "Nobody" is not a valid mode`) {
		t.Errorf("an unknown mode: %v", err)
	}
}
