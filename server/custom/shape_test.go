package custom

import (
	"bytes"
	"encoding/json"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const shapeSchema = `
type: object
properties:
  spec:
    type: object
    properties:
      color: {type: string, default: red}
      size: {type: integer}
      list: {type: array, items: {type: object, properties: {name: {type: string}, port: {type: integer, default: 80}}}}
      words: {type: array, items: {type: string}}
      map: {type: object, additionalProperties: {type: object, properties: {a: {type: string}}}}
      free: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {known: {type: object, properties: {a: {type: string}}}}}
      either: {x-kubernetes-int-or-string: true}
      maybe: {type: string, nullable: true}
      inner: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}
  status: {type: object, properties: {ok: {type: boolean}}}
`

func shapeDefinition(t testing.TB) *definition {
	t.Helper()
	props := &apiextensionsv1.JSONSchemaProps{}
	if err := yaml.UnmarshalStrict([]byte(shapeSchema), props); err != nil {
		t.Fatal(err)
	}
	version := apiextensionsv1.CustomResourceDefinitionVersion{Name: "v1", Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: props}}
	internal, err := internalSchema(&version)
	if err != nil {
		t.Fatal(err)
	}
	structural, err := schema.NewStructural(internal)
	if err != nil {
		t.Fatal(err)
	}
	d := &definition{CustomResourceDefinition: &apiextensionsv1.CustomResourceDefinition{}, schemas: &schemas{versions: []string{"v1"}}}
	d.Spec.Group, d.Status.AcceptedNames.Kind = "example.com", "Widget"
	d.schemas.once.Do(func() {
		d.schemas.made = map[string]*schema.Structural{"v1": structural}
		d.schemas.embeds = map[string]bool{"v1": embeds(structural)}
	})
	return d
}

// decoded is what a read by decoding gives.
func decoded(d *definition, document []byte) ([]byte, error) {
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(document); err != nil {
		return nil, err
	}
	if _, err := (coercer{definition: d, stored: true}).coerce(u); err != nil {
		return nil, err
	}
	defaulter{d, apiserver.Scheme}.Default(u)
	text, err := u.MarshalJSON()
	return bytes.TrimSuffix(text, []byte("\n")), err
}

func shaped(rest string) string {
	return `{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"creationTimestamp":"2026-01-02T03:04:05Z","generation":1,"labels":{"a":"b"},"name":"x","uid":"u"}` + rest + `}`
}

func TestShape(t *testing.T) {
	d := shapeDefinition(t)
	for rest, want := range map[string]bool{
		``:                            true,
		`,"spec":{"color":"blue"}`:    true,
		`,"spec":{}`:                  false, // a default
		`,"spec":{"color":"b","x":1}`: false, // unknown
		`,"spec":{"color":null}`:      false,
		`,"x":1`:                      false,
		`,"spec":{"color":"b","list":[{"port":1,"name":"\"]}"},{"port":2}],"words":["a","b"],"either":1}`: true,
		`,"spec":{"color":"b","list":[{"name":"a"}]}`:                                                     false,
		`,"spec":{"color":"b","map":{"k":{"a":"v"},"l":{}}}`:                                              true,
		`,"spec":{"color":"b","map":{"k":{"b":"v"}}}`:                                                     false,
		`,"spec":{"color":"b","free":{"any":[null,{"x":{}}],"known":{"a":"b"}}}`:                          true,
		`,"spec":{"color":"b","free":{"known":{"b":"b"}}}`:                                                false,
		`,"spec":{"color":"b","inner":{}}`:                                                                false,
		`,"status":{"ok":true}`:                                                                           true,
		`,"status":{"ok":{}}`:                                                                             true,
		`,"status":{"ok":{"a":1}}`:                                                                        false,
	} {
		text := []byte(shaped(rest))
		if got := d.fits("v1", text); got != want {
			t.Errorf("%s: fits is %v", rest, got)
		}
		again, err := decoded(d, text)
		if want && (err != nil || !sameJSON(t, again, text)) {
			t.Errorf("%s fits, but a read by decoding is %s (%v)", rest, again, err)
		}
	}
}

func sameJSON(t testing.TB, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		return false
	}
	if err := json.Unmarshal(b, &y); err != nil {
		return false
	}
	first, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	second, err := json.Marshal(y)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(first, second)
}

// FuzzShape: what fits must be what decoding gives. The oracle's own JSON rules
// (duplicates, deep nesting, numbers beyond float64) decide what it can be asked.
func FuzzShape(f *testing.F) {
	d := shapeDefinition(f)
	f.Add([]byte(`,"spec":{"color":"blue","list":[{"port":1}],"map":{"k":{"a":"v"}},"free":{"x":null}}`))
	f.Add([]byte(`,"status":{"ok":[]},"spec":{"color":"","words":[["a"]]}`))
	f.Fuzz(func(t *testing.T, rest []byte) {
		text := []byte(shaped(string(rest)))
		if !json.Valid(text) || !d.fits("v1", text) {
			return
		}
		again, err := decoded(d, text)
		if err != nil {
			return // numbers out of range and the like: a list would fail, not lie
		}
		if !sameJSON(t, again, text) {
			t.Fatalf("%s fits, but decoding gives %s", text, again)
		}
	})
}

func BenchmarkShape(b *testing.B) {
	d := shapeDefinition(b)
	text := []byte(shaped(`,"spec":{"color":"b","list":[` + string(bytes.Repeat([]byte(`{"name":"some name","port":8080},`), 50)) + `{"port":1}]}`))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if !d.fits("v1", text) {
			b.Fatal("does not fit")
		}
	}
}
