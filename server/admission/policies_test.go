package admission_test

import (
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/howdah/howdah/server"
)

func configMapRules(operations ...admissionregistrationv1.OperationType) *admissionregistrationv1.MatchResources {
	return &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
		RuleWithOperations: admissionregistrationv1.RuleWithOperations{
			Operations: operations,
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
		},
	}}}
}

func inNamespace(name string) *admissionregistrationv1.MatchResources {
	return &admissionregistrationv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": name}}}
}

// validatingPolicy makes a policy for ConfigMaps, and binds it to the namespace
// of the same name.
func (c *cluster) validatingPolicy(t *testing.T, name string, spec admissionregistrationv1.ValidatingAdmissionPolicySpec, binding admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec) {
	t.Helper()
	spec.MatchConstraints = configMapRules("CREATE", "UPDATE")
	_, err := c.AdmissionregistrationV1().ValidatingAdmissionPolicies().Create(t.Context(),
		&admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	binding.PolicyName, binding.MatchResources = name, inNamespace(name)
	_, err = c.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Create(t.Context(),
		&admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: binding}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPolicies(t *testing.T) {
	c := start(t, server.Options{})
	deny := []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny}

	t.Run("parameters", func(t *testing.T) {
		namespace := c.namespace(t, "parameters", nil)
		c.validatingPolicy(t, namespace, admissionregistrationv1.ValidatingAdmissionPolicySpec{
			ParamKind: &admissionregistrationv1.ParamKind{APIVersion: "v1", Kind: "ConfigMap"},
			Variables: []admissionregistrationv1.Variable{{Name: "longest", Expression: `int(params.data.longest)`}},
			Validations: []admissionregistrationv1.Validation{{
				Expression:        `size(object.metadata.name) <= variables.longest || object.metadata.name == params.metadata.name`,
				MessageExpression: `"no name is longer than " + string(variables.longest)`,
			}},
			MatchConditions: []admissionregistrationv1.MatchCondition{{Name: "others", Expression: `!object.metadata.name.startsWith("free")`}},
		}, admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			ValidationActions: deny,
			ParamRef:          &admissionregistrationv1.ParamRef{Name: "limits", Namespace: "default", ParameterNotFoundAction: ptr.To(admissionregistrationv1.DenyAction)},
		})
		until(t, "the missing parameter is missed", func() bool {
			_, err := c.configMap(t, namespace, "a", metav1.DryRunAll)
			return err != nil && strings.Contains(err.Error(), "no params found for policy binding with `Deny` parameterNotFoundAction")
		})
		_, err := c.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "limits"}, Data: map[string]string{"longest": "5"}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		until(t, "the parameter is known", func() bool {
			_, err := c.configMap(t, namespace, "short", metav1.DryRunAll)
			return err == nil
		})
		_, err = c.configMap(t, namespace, "longer")
		refused(t, err, `configmaps "longer" is forbidden: ValidatingAdmissionPolicy 'parameters' with binding 'parameters' denied request: no name is longer than 5`)
		if _, err := c.configMap(t, namespace, "free-to-be-long"); err != nil {
			t.Error(err)
		}
	})

	t.Run("warning", func(t *testing.T) {
		namespace := c.namespace(t, "warning", nil)
		c.validatingPolicy(t, namespace, admissionregistrationv1.ValidatingAdmissionPolicySpec{
			Validations: []admissionregistrationv1.Validation{{Expression: `has(object.data)`, Message: "it is empty"}},
		}, admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Warn, admissionregistrationv1.Audit}})
		until(t, "the warning comes", func() bool {
			c.warnings.take()
			_, err := c.configMap(t, namespace, "a", metav1.DryRunAll)
			return err == nil && c.warnings.take() == "Validation failed for ValidatingAdmissionPolicy 'warning' with binding 'warning': it is empty"
		})
	})

	t.Run("authorizer and error", func(t *testing.T) {
		namespace := c.namespace(t, "failing", nil)
		c.validatingPolicy(t, namespace, admissionregistrationv1.ValidatingAdmissionPolicySpec{
			Validations: []admissionregistrationv1.Validation{{
				Expression: `authorizer.group("").resource("secrets").namespace("kube-system").check("get").allowed() && object.data.missing == "x"`,
			}},
		}, admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{ValidationActions: deny})
		until(t, "the policy fails", func() bool {
			_, err := c.configMap(t, namespace, "a", metav1.DryRunAll)
			return err != nil && strings.Contains(err.Error(), "no such key: data")
		})
	})

	t.Run("cost", func(t *testing.T) {
		namespace := c.namespace(t, "costly", nil)
		c.validatingPolicy(t, namespace, admissionregistrationv1.ValidatingAdmissionPolicySpec{
			Validations: []admissionregistrationv1.Validation{{
				Expression: `!has(object.data) || object.data.all(a, object.data.all(b, object.data.all(c, object.data.all(d, a + b + c + d != "never"))))`,
			}},
		}, admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{ValidationActions: deny})
		many := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "many"}, Data: map[string]string{}}
		for i := range 200 {
			many.Data[fmt.Sprintf("key-%d", i)] = "v"
		}
		until(t, "the policy costs too much", func() bool {
			_, err := c.CoreV1().ConfigMaps(namespace).Create(t.Context(), many, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err != nil && strings.Contains(err.Error(), "cost limit exceeded")
		})
		if _, err := c.configMap(t, namespace, "few"); err != nil {
			t.Errorf("what is cheap to check is refused: %v", err)
		}
	})

	t.Run("mutation", func(t *testing.T) {
		namespace := c.namespace(t, "mutation", nil)
		for kind, mutation := range map[string]admissionregistrationv1.Mutation{
			"apply": {PatchType: admissionregistrationv1.PatchTypeApplyConfiguration, ApplyConfiguration: &admissionregistrationv1.ApplyConfiguration{
				Expression: `Object{metadata: Object.metadata{labels: {"applied": object.metadata.name}}}`,
			}},
			"patch": {PatchType: admissionregistrationv1.PatchTypeJSONPatch, JSONPatch: &admissionregistrationv1.JSONPatch{
				Expression: `[JSONPatch{op: "add", path: "/data", value: {"patched": request.operation}}]`,
			}},
		} {
			name := "mutation-" + kind
			_, err := c.AdmissionregistrationV1().MutatingAdmissionPolicies().Create(t.Context(), &admissionregistrationv1.MutatingAdmissionPolicy{
				ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: admissionregistrationv1.MutatingAdmissionPolicySpec{
					MatchConstraints: configMapRules("CREATE"), ReinvocationPolicy: admissionregistrationv1.NeverReinvocationPolicy,
					Mutations: []admissionregistrationv1.Mutation{mutation}, FailurePolicy: ptr.To(admissionregistrationv1.Fail),
				},
			}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.AdmissionregistrationV1().MutatingAdmissionPolicyBindings().Create(t.Context(), &admissionregistrationv1.MutatingAdmissionPolicyBinding{
				ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec:       admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name, MatchResources: inNamespace(namespace)},
			}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
		}
		var made *corev1.ConfigMap
		until(t, "both policies work", func() bool {
			var err error
			made, err = c.configMap(t, namespace, "a", metav1.DryRunAll)
			return err == nil && made.Labels["applied"] == "a" && made.Data["patched"] == "CREATE"
		})
	})
}
