package schemas

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	apiextensionsapiserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/sets"
	apiopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/schemaconv"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/controlplane" // registers all kinds
	"k8s.io/kubernetes/pkg/generated/openapi"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
)

var update = flag.Bool("update", false, "write types.txt anew from upstream's OpenAPI models")

// TestTypesAreUpstreams derives the types as kube-apiserver does at start, and
// compares them with the embedded ones.
func TestTypesAreUpstreams(t *testing.T) {
	models := upstreamModels(t)
	upstream, err := schemaconv.ToSchemaFromOpenAPI(models, false)
	if err != nil {
		t.Fatal(err)
	}
	text := render(t, upstream, models)
	if *update {
		if err := os.WriteFile("types.txt", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if text != types {
		t.Fatal("types.txt differs from the OpenAPI models of this Kubernetes version: run go test ./server/builtin/schemas -update")
	}

	embedded := openFile(text)
	for _, def := range upstream.Types {
		decoded, err := embedded.atom(def.Name)
		if err != nil {
			t.Fatal(err)
		}
		want, got := marshal(t, encode(def.Atom)), marshal(t, encode(decoded))
		if want != got {
			t.Errorf("%s: decoded\n%s\nwant\n%s", def.Name, got, want)
		}
	}
}

// upstreamModels are the models of every persisted kind in every version.
func upstreamModels(t testing.TB) map[string]*spec.Schema {
	t.Helper()
	schemes := []*runtime.Scheme{legacyscheme.Scheme, apiextensionsapiserver.Scheme, aggregatorscheme.Scheme}
	config := genericapiserver.DefaultOpenAPIV3Config(openapi.GetOpenAPIDefinitions, apiopenapi.NewDefinitionNamer(schemes...))
	var names []string
	for _, scheme := range schemes {
		for gvk, goType := range scheme.AllKnownTypes() {
			if gvk.Version == runtime.APIVersionInternal || strings.HasSuffix(gvk.Kind, "List") || gvk.Group == "extensions" {
				continue
			}
			obj, err := scheme.New(gvk)
			if err != nil {
				t.Fatal(err)
			}
			name := util.GetCanonicalTypeName(obj)
			isAPI := strings.HasPrefix(goType.PkgPath(), "k8s.io/api/") || gvk.Kind == "CustomResourceDefinition" || gvk.Kind == "APIService"
			if _, ok := config.Definitions[name]; ok && isAPI {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	models, err := builder3.BuildOpenAPIDefinitionsForResources(config, slices.Compact(names)...)
	if err != nil {
		t.Fatal(err)
	}
	return models
}

func render(t *testing.T, s *schema.Schema, models map[string]*spec.Schema) string {
	t.Helper()
	var lines []string
	for _, def := range s.Types {
		lines = append(lines, fmt.Sprintf("%s\t%s\t%s\n",
			def.Name, strings.Join(kindsOf(models[def.Name]), ","), marshal(t, encode(def.Atom))))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func kindsOf(model *spec.Schema) []string {
	if model == nil {
		return nil
	}
	kinds, _ := model.Extensions["x-kubernetes-group-version-kind"].([]any)
	names := sets.New[string]()
	for _, kind := range kinds {
		gvk := kind.(map[string]any)
		names.Insert(fmt.Sprintf("%s/%s/%s", gvk["group"], gvk["version"], gvk["kind"]))
	}
	return sets.List(names)
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	encoded, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func TestKindsShareTypes(t *testing.T) {
	c := NewConverter().(*converter)
	for _, gvk := range []runtimeschema.GroupVersionKind{
		{Version: "v1", Kind: "Pod"}, {Group: "apps", Version: "v1", Kind: "Deployment"},
	} {
		if _, err := c.kind(gvk); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.kind(runtimeschema.GroupVersionKind{Group: "apps", Version: "v1beta9", Kind: "Deployment"})
	if !runtime.IsNotRegisteredError(err) {
		t.Errorf("a version without schema: %v, want a not-registered error", err)
	}
}

func BenchmarkOpen(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NewConverter()
	}
}

func BenchmarkPod(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		c := NewConverter().(*converter)
		if _, err := c.kind(runtimeschema.GroupVersionKind{Version: "v1", Kind: "Pod"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUpstream is what this package saves at start.
func BenchmarkUpstream(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := managedfields.NewTypeConverter(upstreamModels(b), false); err != nil {
			b.Fatal(err)
		}
	}
}
