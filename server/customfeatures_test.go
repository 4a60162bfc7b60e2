package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor/direct"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/features"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	featuregatetesting "k8s.io/component-base/featuregate/testing"
)

func widget(t *testing.T, name, spec string) string {
	t.Helper()
	return fmt.Sprintf("{apiVersion: example.com/v1, kind: Widget, metadata: {name: %s}, spec: %s}", name, spec)
}

// TestCustomResourcesAreResources: what holds for built-in resources holds for
// custom ones.
func TestCustomResourcesAreResources(t *testing.T) {
	dir := t.TempDir()
	encryption := encryptionFile(t, filepath.Join(t.TempDir(), "encryption.yaml"), gcmOne)
	text, err := os.ReadFile(encryption)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(encryption, bytes.Replace(text, []byte("[secrets]"), []byte("[widgets.example.com]"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{DataDir: dir, Encryption: EncryptionOptions{ProviderConfig: encryption}})
	e := extend(t, adminConfig(t, s))
	e.define(t, widgets)
	all := e.Resource(gvr("example.com", "v1", "widgets"))
	in := func(namespace string) dynamic.ResourceInterface {
		if _, err := e.typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		return all.Namespace(namespace)
	}

	t.Run("quota", func(t *testing.T) {
		client := in("quota")
		hard := corev1.ResourceList{"count/widgets.example.com": resource.MustParse("1")}
		quota, err := e.typed.CoreV1().ResourceQuotas("quota").Create(t.Context(), &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Name: "one"}, Spec: corev1.ResourceQuotaSpec{Hard: hard},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		quota.Status = corev1.ResourceQuotaStatus{Hard: hard, Used: corev1.ResourceList{"count/widgets.example.com": resource.MustParse("0")}}
		if _, err := e.typed.CoreV1().ResourceQuotas("quota").UpdateStatus(t.Context(), quota, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Create(t.Context(), document(t, widget(t, "a", "{}")), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		_, err = client.Create(t.Context(), document(t, widget(t, "b", "{}")), metav1.CreateOptions{})
		if want := "exceeded quota: one, requested: count/widgets.example.com=1, used: count/widgets.example.com=1, limited: count/widgets.example.com=1"; !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("beyond the quota: %v", err)
		}
	})

	t.Run("rbac", func(t *testing.T) {
		client := in("rbac")
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"example.com"}, Resources: []string{"widgets"}, Verbs: []string{"get", "list"}},
			{APIGroups: []string{"example.com"}, Resources: []string{"widgets/status"}, Verbs: []string{"patch"}},
		}}
		if _, err := e.typed.RbacV1().Roles("rbac").Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.typed.RbacV1().RoleBindings("rbac").Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "ada"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "ada"}},
		}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Create(t.Context(), document(t, widget(t, "a", "{}")), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		config := rest.CopyConfig(e.config)
		config.Impersonate.UserName = "ada"
		ada := dynamic.NewForConfigOrDie(config).Resource(gvr("example.com", "v1", "widgets"))
		if _, err := ada.Namespace("rbac").Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
		if _, err := ada.Namespace("rbac").Patch(t.Context(), "a", "application/merge-patch+json", []byte(`{"status":{"phase":"x"}}`), metav1.PatchOptions{}, "status"); err != nil {
			t.Error(err)
		}
		_, err := ada.Namespace("rbac").Patch(t.Context(), "a", "application/merge-patch+json", []byte(`{"spec":{"size":4}}`), metav1.PatchOptions{})
		if want := `widgets.example.com "a" is forbidden: User "ada" cannot patch resource "widgets" in API group "example.com" in the namespace "rbac"`; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, err := ada.List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("all namespaces: %v", err)
		}
	})

	t.Run("policy", func(t *testing.T) {
		client := in("policy")
		policies := e.typed.AdmissionregistrationV1()
		if _, err := policies.ValidatingAdmissionPolicies().Create(t.Context(), &admissionregistrationv1.ValidatingAdmissionPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "green"},
			Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
				MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{"CREATE", "UPDATE"},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{"example.com"}, APIVersions: []string{"*"}, Resources: []string{"widgets"}},
				}}}},
				Validations: []admissionregistrationv1.Validation{{Expression: "object.spec.color != 'green'", MessageExpression: "'no ' + object.spec.color + ' in ' + namespaceObject.metadata.name"}},
			},
		}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := policies.ValidatingAdmissionPolicyBindings().Create(t.Context(), &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "green"},
			Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName: "green", ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
			},
		}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		var err error
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			_, err = client.Create(t.Context(), document(t, widget(t, "a", "{color: green}")), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if err != nil {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'green' with binding 'green' denied request: no green in policy") {
			t.Errorf("got %v", err)
		}
		if _, err := client.Create(t.Context(), document(t, widget(t, "a", "{color: blue}")), metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	})

	t.Run("dry run", func(t *testing.T) {
		client := in("dry-run")
		dry := []string{metav1.DryRunAll}
		made, err := client.Create(t.Context(), document(t, widget(t, "a", "{color: blue}")), metav1.CreateOptions{DryRun: dry})
		if err != nil || field(made, "spec.size") != "3" || made.GetUID() == "" {
			t.Fatalf("create: %v, %v", made, err)
		}
		if _, err := client.Get(t.Context(), "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("it was created: %v", err)
		}
		if made, err = client.Create(t.Context(), document(t, widget(t, "a", "{color: blue}")), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if patched, err := client.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec":{"size":4}}`), metav1.PatchOptions{DryRun: dry}); err != nil || field(patched, "spec.size") != "4" {
			t.Errorf("patch: %v, %v", patched, err)
		}
		if _, err := client.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec":{"size":40}}`), metav1.PatchOptions{DryRun: dry}); !apierrors.IsInvalid(err) {
			t.Errorf("a patch that is not allowed: %v", err)
		}
		if applied, err := client.Apply(t.Context(), "a", document(t, widget(t, "a", "{color: red}")), metav1.ApplyOptions{FieldManager: "x", Force: true, DryRun: dry}); err != nil || field(applied, "spec.color") != "red" {
			t.Errorf("apply: %v, %v", applied, err)
		}
		if applied, err := client.Apply(t.Context(), "b", document(t, widget(t, "b", "{color: red}")), metav1.ApplyOptions{FieldManager: "x", DryRun: dry}); err != nil || field(applied, "spec.color") != "red" {
			t.Errorf("apply of a new one: %v, %v", applied, err)
		}
		if got, err := client.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"status":{"phase":"x"}}`), metav1.PatchOptions{DryRun: dry}, "status"); err != nil || field(got, "status.phase") != "x" {
			t.Errorf("status: %v, %v", got, err)
		}
		if got, err := client.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec":{"replicas":2}}`), metav1.PatchOptions{DryRun: dry}, "scale"); err != nil || field(got, "spec.replicas") != "2" {
			t.Errorf("scale: %v, %v", got, err)
		}
		if err := client.Delete(t.Context(), "a", metav1.DeleteOptions{DryRun: dry}); err != nil {
			t.Errorf("delete: %v", err)
		}
		if err := client.DeleteCollection(t.Context(), metav1.DeleteOptions{DryRun: dry}, metav1.ListOptions{}); err != nil {
			t.Errorf("deletecollection: %v", err)
		}
		if now, err := client.Get(t.Context(), "a", metav1.GetOptions{}); err != nil || now.GetResourceVersion() != made.GetResourceVersion() {
			t.Errorf("after all that: %v, %v", now, err)
		}
	})

	t.Run("lines", func(t *testing.T) { // many clients read watches line by line
		client := in("lines")
		if _, err := client.Create(t.Context(), document(t, widget(t, "a", "{color: blue}")), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		const path = "/apis/example.com/v1/namespaces/lines/widgets"
		stream, err := e.typed.CoreV1().RESTClient().Get().AbsPath(path).Param("watch", "true").Param("resourceVersion", "0").SetHeader("Accept", "application/json").Stream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		lines := bufio.NewReader(stream)
		next := func(kind string) {
			t.Helper()
			line, err := lines.ReadString('\n')
			if err != nil || !json.Valid([]byte(line)) || !strings.HasPrefix(line, `{"type":"`+kind) {
				t.Errorf("%q, %v, want %s", line, err, kind)
			}
		}
		next("ADDED")
		if _, err := client.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec":{"size":4}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		next("MODIFIED")
		if err := client.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		next("DELETED")
		for _, raw := range []string{"", "/none"} {
			body, _ := e.typed.CoreV1().RESTClient().Get().AbsPath(path+raw).SetHeader("Accept", "application/json").DoRaw(t.Context())
			if n := bytes.Count(body, []byte("\n")); n != 1 {
				t.Errorf("%s%s has %d lines: %q", path, raw, n, body)
			}
		}
	})

	t.Run("encryption", func(t *testing.T) {
		client := in("encryption")
		if _, err := client.Create(t.Context(), document(t, widget(t, "a", "{color: "+password+"}")), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, err := client.Get(t.Context(), "a", metav1.GetOptions{}); err != nil || field(got, "spec.color") != password {
			t.Errorf("%v, %v", got, err)
		}
		checkFiles(t, dir, ".key", ".pem", ".kubeconfig")
		stop(t, s)
		if value := stored(t, dir, "/registry/example.com/widgets/encryption/a"); !strings.HasPrefix(value, "k8s:enc:aesgcm:v1:one:") {
			t.Errorf("stored as %.40q", value)
		}
	})
}

// TestCustomResourcesInCBOR is behind upstream's feature gate.
func TestCustomResourcesInCBOR(t *testing.T) {
	featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, features.CBORServingAndStorage, true)
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	e.define(t, widgets)
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON([]byte(`{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"a"},"spec":{"color":"blue","size":4,"anything":{"text":"x","list":[1,2.5,null,true]}}}`)); err != nil {
		t.Fatal(err)
	}
	body, err := direct.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	call := func(request *rest.Request) map[string]any {
		t.Helper()
		raw, err := request.SetHeader("Accept", "application/cbor").DoRaw(t.Context())
		if err != nil {
			t.Fatalf("%v: %q", err, raw)
		}
		var got map[string]any
		if err := direct.Unmarshal(raw, &got); err != nil {
			t.Fatalf("%v: %q", err, raw)
		}
		return got
	}
	const path = "/apis/example.com/v1/namespaces/default/widgets"
	client := e.typed.CoreV1().RESTClient()
	made := call(client.Post().AbsPath(path).SetHeader("Content-Type", "application/cbor").Body(body))
	read := call(client.Get().AbsPath(path, "a"))
	if fmt.Sprint(made["spec"]) != fmt.Sprint(read["spec"]) || !strings.Contains(fmt.Sprint(read["spec"]), "list:[1 2.5 <nil> true]") {
		t.Errorf("made %v, read %v", made["spec"], read["spec"])
	}
	if list := call(client.Get().AbsPath(path)); len(list["items"].([]any)) != 1 {
		t.Errorf("list: %v", list)
	}
}
