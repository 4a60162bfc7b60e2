package custom

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// proofSchemas are constructs of schemas, each in a field of its name.
const proofSchemas = `
any: {}
text: {type: string}
short: {type: string, minLength: 2, maxLength: 3}
pattern: {type: string, pattern: '^a+$'}
broken: {type: string, pattern: '('}
date: {type: string, format: date-time}
unknown: {type: string, format: nobody-knows}
choice: {type: string, enum: [a, bb]}
numbers: {type: integer, enum: [1, 2]}
integer: {type: integer}
int32: {type: integer, format: int32}
int64: {type: integer, format: int64}
odd: {type: integer, format: float}
range: {type: integer, minimum: 1, maximum: 5}
inside: {type: number, minimum: 1, maximum: 5, exclusiveMinimum: true, exclusiveMaximum: true}
half: {type: number, minimum: 0.5}
even: {type: integer, multipleOf: 2}
float: {type: number, format: float}
double: {type: number, format: double}
bool: {type: boolean}
maybe: {type: string, nullable: true}
mode: {type: string, nullable: true, enum: [a]}
either: {x-kubernetes-int-or-string: true}
both: {anyOf: [{type: integer}, {type: string}], x-kubernetes-int-or-string: true}
not: {type: string, not: {enum: [a]}}
all: {type: string, allOf: [{minLength: 2}]}
one: {type: object, oneOf: [{required: [a]}, {required: [b]}]}
list: {type: array, items: {type: string}}
few: {type: array, items: {type: integer}, minItems: 1, maxItems: 2}
set: {type: array, items: {type: string}, uniqueItems: true}
map: {type: object, additionalProperties: {type: string}}
shut: {type: object, properties: {a: {type: string}}, additionalProperties: false}
open: {type: object, additionalProperties: true}
sized: {type: object, minProperties: 1, maxProperties: 2}
needs: {type: object, required: [a], properties: {a: {type: string}, b: {type: integer, minimum: 2}}}
free: {type: object, x-kubernetes-preserve-unknown-fields: true}
deep: {type: object, properties: {a: {type: array, items: {type: object, required: [b], properties: {b: {type: string, nullable: true}}}}}}
`

func proofFields(t testing.TB) map[string]provingValidator {
	t.Helper()
	var fields map[string]apiextensionsv1.JSONSchemaProps
	if err := yaml.UnmarshalStrict([]byte(proofSchemas), &fields); err != nil {
		t.Fatal(err)
	}
	validators := map[string]provingValidator{}
	for name, props := range fields {
		internal, err := internalSchema(&apiextensionsv1.CustomResourceDefinitionVersion{Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &props}})
		if err != nil {
			t.Fatal(err)
		}
		validator, err := newValidator(internal)
		if err != nil {
			t.Fatal(err)
		}
		validators[name] = validator.(provingValidator)
	}
	return validators
}

var proofValues = []string{
	`null`, `""`, `"a"`, `"bb"`, `"aaaa"`, `"äöü"`, `"2020-02-03T04:05:06Z"`, `"2020"`, `true`, `false`,
	`0`, `1`, `2`, `5`, `6`, `-1`, `1.0`, `1.5`, `5.0`, `2147483647`, `2147483648`, `-2147483649`, `9007199254740993`, `9223372036854775807`, `1e300`,
	`[]`, `["a"]`, `["a","a"]`, `[1]`, `[1,2,3]`, `[null]`, `[{"b":null}]`,
	`{}`, `{"a":"x"}`, `{"a":1}`, `{"a":null}`, `{"b":1}`, `{"b":2}`, `{"a":"x","b":2}`, `{"a":"x","b":1}`, `{"a":"x","b":2,"c":{}}`,
	`{"a":[]}`, `{"a":[{}]}`, `{"a":[{"b":"x"}]}`, `{"a":[{"b":null}]}`, `{"a":[{"b":1}]}`, `{"a":[null]}`,
}

// TestProofs: whatever is proven is valid, as a new value and as a change of any other;
// and of constructs that real schemas are made of nothing valid is left to upstream.
func TestProofs(t *testing.T) {
	usual := []string{
		"any", "text", "short", "pattern", "date", "unknown", "choice", "integer", "int32", "int64", "range", "bool", "maybe", "either",
		"list", "few", "map", "shut", "open", "sized", "needs", "free", "deep",
	}
	for name, v := range proofFields(t) {
		for _, text := range proofValues {
			var value any
			if err := utiljson.Unmarshal([]byte(text), &value); err != nil {
				t.Fatal(err)
			}
			proven := v.proof.holds(value)
			valid := v.SchemaValidator.Validate(value).IsValid()
			switch {
			case proven && !valid:
				t.Errorf("%s: %s is proven, and upstream refuses it", name, text)
			case proven && !v.SchemaValidator.ValidateUpdate(value, "other").IsValid():
				t.Errorf("%s: %s is proven, and upstream refuses it as a change", name, text)
			case valid && !proven && slices.Contains(usual, name) && !odd(name, value):
				t.Errorf("%s: %s is valid and not proven", name, text)
			}
			if got := v.Validate(value).IsValid(); got != valid {
				t.Errorf("%s: %s is valid: %t, upstream says %t", name, text, got, valid)
			}
			got, want := validation.ValidateCustomResource(nil, value, v), validation.ValidateCustomResource(nil, value, v.SchemaValidator)
			if !sameErrors(got, want) {
				t.Errorf("%s: %s: %v, upstream %v", name, text, got, want)
			}
		}
	}
}

// sameErrors: upstream finds those of a map in any order.
func sameErrors(a, b field.ErrorList) bool {
	texts := func(list field.ErrorList) (all []string) {
		for _, err := range list {
			all = append(all, err.Error())
		}
		slices.Sort(all)
		return all
	}
	return slices.Equal(texts(a), texts(b))
}

// odd is what upstream takes although its type is another: 1.0 for an integer, and
// lists for texts with a format.
func odd(name string, value any) bool {
	switch value.(type) {
	case float64:
		return true
	case []any:
		return name == "date"
	}
	return false
}

// FuzzProof makes objects of all fields at random.
func FuzzProof(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed)
	}
	var fields map[string]apiextensionsv1.JSONSchemaProps
	if err := yaml.UnmarshalStrict([]byte(proofSchemas), &fields); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		props := apiextensionsv1.JSONSchemaProps{Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{}}
		object := map[string]any{}
		for name, field := range fields {
			if random.IntN(4) > 0 {
				continue
			}
			props.Properties[name] = field
			var value any
			if err := utiljson.Unmarshal([]byte(proofValues[random.IntN(len(proofValues))]), &value); err != nil {
				t.Fatal(err)
			}
			object[name] = value
			if v, err := newValidator(nil); err != nil || !v.Validate(value).IsValid() {
				t.Fatal("no schema refuses a value", err)
			}
		}
		internal, err := internalSchema(&apiextensionsv1.CustomResourceDefinitionVersion{Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &props}})
		if err != nil {
			t.Fatal(err)
		}
		validator, err := newValidator(internal)
		if err != nil {
			t.Fatal(err)
		}
		v := validator.(provingValidator)
		if got, want := v.Validate(object).IsValid(), v.SchemaValidator.Validate(object).IsValid(); got != want {
			text, _ := json.Marshal(object)
			t.Errorf("%s is valid: %t, upstream says %t", text, got, want)
		}
	})
}
