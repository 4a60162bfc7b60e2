package policystatus

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/client-go/kubernetes/fake"
	admissionlisters "k8s.io/client-go/listers/admissionregistration/v1"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

var widgets = schema.GroupVersionKind{Group: "example.org", Version: "v1", Kind: "Widget"}

// schemas know widgets, which have a size.
type schemas struct{}

func (schemas) ResolveSchema(kind schema.GroupVersionKind) (*spec.Schema, error) {
	if kind != widgets {
		return nil, resolver.ErrSchemaNotFound
	}
	object := func(properties map[string]spec.Schema) *spec.Schema {
		return &spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}, Properties: properties}}
	}
	return object(map[string]spec.Schema{"spec": *object(map[string]spec.Schema{"size": *spec.Int64Property()})}), nil
}

func TestSync(t *testing.T) {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(widgets, meta.RESTScopeNamespace)
	aPolicy := func(resource string, generation, observed int64, expressions ...string) *admissionregistrationv1.ValidatingAdmissionPolicy {
		p := &admissionregistrationv1.ValidatingAdmissionPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: generation},
			Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{MatchConstraints: &admissionregistrationv1.MatchResources{
				ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Rule: admissionregistrationv1.Rule{APIGroups: []string{"example.org"}, APIVersions: []string{"v1"}, Resources: []string{resource}},
				}}},
			}},
			Status: admissionregistrationv1.ValidatingAdmissionPolicyStatus{ObservedGeneration: observed},
		}
		for _, e := range expressions {
			p.Spec.Validations = append(p.Spec.Validations, admissionregistrationv1.Validation{Expression: e})
		}
		return p
	}
	inMessage := aPolicy("widgets", 1, 0, "object.spec.size < 9")
	inMessage.Spec.Validations[0].MessageExpression = "object.spec.colour"
	const fits, typo, confused = "object.spec.size < 9", "object.spec.sise < 9", "object.spec.size == 'big'"
	for _, test := range []struct {
		name   string
		policy *admissionregistrationv1.ValidatingAdmissionPolicy
		tells  bool
		// What each warning is about and has in it.
		warnings [][2]string
		answer   error // of the API
	}{
		{name: "one that is gone"},
		{name: "a new one", policy: aPolicy("widgets", 1, 0, fits), tells: true},
		{name: "one that is told of", policy: aPolicy("widgets", 1, 1, typo)},
		{name: "one that changed", policy: aPolicy("widgets", 3, 2, fits), tells: true},
		{name: "a field that isn't there", policy: aPolicy("widgets", 1, 0, fits, typo), tells: true, warnings: [][2]string{{"spec.validations[1].expression", "undefined field 'sise'"}}},
		{name: "types that don't compare", policy: aPolicy("widgets", 1, 0, confused), tells: true, warnings: [][2]string{{"spec.validations[0].expression", "no matching overload"}}},
		{name: "two of them", policy: aPolicy("widgets", 2, 1, typo, confused), tells: true, warnings: [][2]string{{"spec.validations[0].expression", "example.org/v1, Kind=Widget"}, {"spec.validations[1].expression", "no matching overload"}}},
		{name: "a message", policy: inMessage, tells: true, warnings: [][2]string{{"spec.validations[0].messageExpression", "undefined field 'colour'"}}},
		{name: "types that nobody knows", policy: aPolicy("gadgets", 1, 0, typo), tells: true},
		{name: "any types", policy: aPolicy("*", 1, 0, typo), tells: true},
		{name: "where it may not", policy: aPolicy("widgets", 1, 0, fits), tells: true, answer: apierrors.NewForbidden(admissionregistrationv1.Resource("validatingadmissionpolicies"), "p", errors.New("no"))},
	} {
		known := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
		if test.policy != nil {
			if err := known.Add(test.policy); err != nil {
				t.Fatal(err)
			}
		}
		client := fake.NewSimpleClientset()
		var told *admissionregistrationv1.ValidatingAdmissionPolicyStatus
		client.PrependReactor("*", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
			var applied admissionregistrationv1.ValidatingAdmissionPolicy
			if err := json.Unmarshal(action.(clienttesting.PatchAction).GetPatch(), &applied); err != nil || action.GetSubresource() != "status" {
				t.Errorf("%s: %v %v", test.name, action, err)
			}
			told = &applied.Status
			return true, &applied, test.answer
		})
		x := &controller{
			client: client, policies: admissionlisters.NewValidatingAdmissionPolicyLister(known),
			checker: &validating.TypeChecker{SchemaResolver: schemas{}, RestMapper: mapper},
		}
		if err := x.sync(t.Context(), "p"); !errors.Is(err, test.answer) {
			t.Errorf("%s: %v", test.name, err)
		}
		if (told != nil) != test.tells {
			t.Errorf("%s: tells %v", test.name, told)
		}
		if told == nil {
			continue
		}
		// That nothing is wrong is told too.
		if told.ObservedGeneration != test.policy.Generation || told.TypeChecking == nil || len(told.TypeChecking.ExpressionWarnings) != len(test.warnings) {
			t.Errorf("%s: tells %v", test.name, told)
			continue
		}
		for i, want := range test.warnings {
			if got := told.TypeChecking.ExpressionWarnings[i]; got.FieldRef != want[0] || !strings.Contains(got.Warning, want[1]) {
				t.Errorf("%s: %v, want %v", test.name, got, want)
			}
		}
	}
}
