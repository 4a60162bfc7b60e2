package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// extended are the clients that tests of custom resources use.
type extended struct {
	config *rest.Config
	crds   apiextensionsclient.Interface
	dynamic.Interface
	typed kubernetes.Interface
}

func extend(t *testing.T, config *rest.Config) extended {
	t.Helper()
	config = rest.CopyConfig(config)
	config.QPS = -1
	return extended{config, apiextensionsclient.NewForConfigOrDie(config), dynamic.NewForConfigOrDie(config), kubernetes.NewForConfigOrDie(config)}
}

// define creates a definition and waits until it is established.
func (e extended) define(t *testing.T, text string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	crd, err := e.crds.ApiextensionsV1().CustomResourceDefinitions().Create(t.Context(), definition(t, text), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return e.untilDefinition(t, crd.Name, func(crd *apiextensionsv1.CustomResourceDefinition) bool {
		return apihelpers.IsCRDConditionTrue(crd, apiextensionsv1.Established)
	})
}

// redefine changes a definition.
func (e extended) redefine(t *testing.T, name string, change func(*apiextensionsv1.CustomResourceDefinition)) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	for {
		crd, err := e.crds.ApiextensionsV1().CustomResourceDefinitions().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		change(crd)
		crd, err = e.crds.ApiextensionsV1().CustomResourceDefinitions().Update(t.Context(), crd, metav1.UpdateOptions{})
		if apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return crd
	}
}

func definition(t *testing.T, text string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict([]byte(text), crd); err != nil {
		t.Fatal(err)
	}
	return crd
}

// untilDefinition watches a definition until it is as wanted; nil when it was deleted.
func (e extended) untilDefinition(t *testing.T, name string, wanted func(*apiextensionsv1.CustomResourceDefinition) bool) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	w, err := e.crds.ApiextensionsV1().CustomResourceDefinitions().Watch(ctx, metav1.SingleObject(metav1.ObjectMeta{Name: name}))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	var last *apiextensionsv1.CustomResourceDefinition
	for event := range w.ResultChan() {
		if event.Type == watch.Deleted {
			return nil
		}
		if crd, ok := event.Object.(*apiextensionsv1.CustomResourceDefinition); ok {
			if last = crd; wanted(crd) {
				return crd
			}
		}
	}
	t.Fatalf("%s is not as wanted, last: %+v", name, last)
	return nil
}

func document(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

// field reads a field of a document as text: "" when it is not there.
func field(u *unstructured.Unstructured, path string) string {
	value, found, err := unstructured.NestedFieldNoCopy(u.Object, strings.Split(path, ".")...)
	if err != nil || !found {
		return ""
	}
	if text, is := value.(string); is {
		return text
	}
	b, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func gvr(group, version, resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
}

const widgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, labelSelectorPath: .status.selector}
    selectableFields: [{jsonPath: .spec.color}]
    additionalPrinterColumns:
    - {name: Color, type: string, jsonPath: .spec.color}
    - {name: Size, type: integer, jsonPath: .spec.size, priority: 1}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [color]
            properties:
              color: {type: string, default: red}
              size: {type: integer, default: 3, maximum: 10}
              replicas: {type: integer}
              ports:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, port: {type: integer}}
              anything: {type: object, x-kubernetes-preserve-unknown-fields: true}
            x-kubernetes-validations:
            - {rule: "!has(self.size) || self.size != 7", message: "seven is not a size"}
            - {rule: "!has(oldSelf.size) || self.size >= oldSelf.size", messageExpression: "'no less than ' + 'before'"}
          status:
            type: object
            properties: {replicas: {type: integer}, selector: {type: string}, phase: {type: string}}
`

func TestCustomResources(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	began := time.Now()
	crd := e.define(t, widgets)
	t.Logf("established after %v", time.Since(began))
	if got := crd.Status.AcceptedNames.ListKind; got != "WidgetList" {
		t.Errorf("list kind %q", got)
	}
	all := e.Resource(gvr("example.com", "v1", "widgets"))
	in := all.Namespace("default")

	created, err := in.Create(t.Context(), document(t, `
apiVersion: example.com/v1
kind: Widget
metadata: {name: a, labels: {tier: front}}
spec: {size: 4, unknown: gone, anything: {some: {thing: 1}}}
status: {phase: ignored}
`), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"spec.color": "red", "spec.size": "4", "spec.unknown": "", "spec.anything.some.thing": "1",
		"status": "", "metadata.generation": "1", "kind": "Widget", "apiVersion": "example.com/v1",
	} {
		if got := field(created, path); got != want {
			t.Errorf("created: %s is %q, want %q", path, got, want)
		}
	}
	got, err := in.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want, is := fmt.Sprint(created.Object), fmt.Sprint(got.Object); want != is {
		t.Errorf("read\n%s\nwritten\n%s", is, want)
	}
	list, err := all.List(t.Context(), metav1.ListOptions{LabelSelector: "tier=front", FieldSelector: "spec.color=red"})
	if err != nil || len(list.Items) != 1 || list.GetKind() != "WidgetList" {
		t.Fatalf("list: %v, %v", list, err)
	}
	if list, err = all.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.color=blue"}); err != nil || len(list.Items) != 0 {
		t.Fatalf("list by another color: %v, %v", list, err)
	}
	if _, err = all.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.size=4"}); !apierrors.IsBadRequest(err) {
		t.Errorf("list by a field that can't be selected: %v", err)
	}

	w, err := in.Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()

	t.Run("validation", func(t *testing.T) {
		for spec, want := range map[string]string{
			"{size: 11}":                      "spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10",
			"{size: 7}":                       "seven is not a size",
			"{color: 5}":                      "spec.color in body must be of type string: \"integer\"",
			"{ports: [{}]}":                   "spec.ports[0].name: Required value",
			"{ports: [{name: x}, {name: x}]}": "Duplicate value",
		} {
			_, err := in.Create(t.Context(), document(t, "{apiVersion: example.com/v1, kind: Widget, metadata: {name: bad}, spec: "+spec+"}"), metav1.CreateOptions{})
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", spec, err, want)
			}
		}
		_, err := in.Create(t.Context(), document(t, "{apiVersion: example.com/v1, kind: Widget, metadata: {name: bad}, spec: {sizes: 1}}"),
			metav1.CreateOptions{FieldValidation: "Strict"})
		if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), `strict decoding error: unknown field "spec.sizes"`) {
			t.Errorf("strict: %v", err)
		}
		_, err = in.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec":{"size":2}}`), metav1.PatchOptions{})
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "no less than before") {
			t.Errorf("a transition rule: %v", err)
		}
	})

	t.Run("subresources", func(t *testing.T) {
		patched, err := in.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec":{"size":9},"status":{"phase":"Ready","replicas":2,"selector":"a=b"}}`), metav1.PatchOptions{}, "status")
		if err != nil {
			t.Fatal(err)
		}
		if field(patched, "spec.size") != "4" || field(patched, "status.phase") != "Ready" || field(patched, "metadata.generation") != "1" {
			t.Errorf("status wrote %v", patched)
		}
		if _, err := in.Get(t.Context(), "a", metav1.GetOptions{}, "scale"); !apierrors.IsInternalError(err) {
			t.Errorf("a scale without replicas: %v", err)
		}
		scaled, err := in.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec":{"replicas":5}}`), metav1.PatchOptions{}, "scale")
		if err != nil {
			t.Fatal(err)
		}
		if field(scaled, "kind") != "Scale" || field(scaled, "spec.replicas") != "5" || field(scaled, "status.selector") != "a=b" {
			t.Errorf("scaled: %v", scaled)
		}
		got, err := in.Get(t.Context(), "a", metav1.GetOptions{})
		if err != nil || field(got, "spec.replicas") != "5" || field(got, "metadata.generation") != "2" {
			t.Errorf("after scaling: %v, %v", got, err)
		}
	})

	t.Run("apply", func(t *testing.T) {
		apply := func(manager, ports string) (*unstructured.Unstructured, error) {
			return in.Apply(t.Context(), "a", document(t, "{apiVersion: example.com/v1, kind: Widget, metadata: {name: a}, spec: {ports: "+ports+"}}"),
				metav1.ApplyOptions{FieldManager: manager})
		}
		if _, err := apply("one", "[{name: http, port: 80}]"); err != nil {
			t.Fatal(err)
		}
		both, err := apply("two", "[{name: https, port: 443}]")
		if err != nil {
			t.Fatal(err)
		}
		if got := field(both, "spec.ports"); got != `[{"name":"http","port":80},{"name":"https","port":443}]` {
			t.Errorf("lists are not merged by their keys: %s", got)
		}
		if _, err := apply("two", "[{name: http, port: 81}]"); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `.spec.ports[name="http"].port`) {
			t.Errorf("a conflict: %v", err)
		}
		unknown := document(t, "{apiVersion: example.com/v1, kind: Widget, metadata: {name: a}, spec: {nothing: 1}}")
		if _, err := in.Apply(t.Context(), "a", unknown, metav1.ApplyOptions{FieldManager: "three"}); err == nil || !strings.Contains(err.Error(), "field not declared in schema") {
			t.Errorf("an unknown field: %v", err)
		}
	})

	t.Run("table", func(t *testing.T) {
		request := e.typed.CoreV1().RESTClient().Get().
			AbsPath("/apis/example.com/v1/namespaces/default/widgets").SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
		var table metav1.Table
		body, err := request.DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(body, &table); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range table.ColumnDefinitions {
			names = append(names, fmt.Sprint(c.Name, c.Priority))
		}
		if fmt.Sprint(names) != "[Name0 Color0 Size1]" || fmt.Sprint(table.Rows[0].Cells) != "[a red 4]" {
			t.Errorf("table: %v %v", names, table.Rows)
		}
	})

	seen := map[watch.EventType]int{}
	if err := in.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for event := range w.ResultChan() {
		seen[event.Type]++
		if event.Type == watch.Deleted {
			break
		}
	}
	if seen[watch.Modified] < 3 {
		t.Errorf("the watch saw %v", seen)
	}

	t.Run("deletion", func(t *testing.T) {
		for _, name := range []string{"b", "c"} {
			if _, err := in.Create(t.Context(), document(t, "{apiVersion: example.com/v1, kind: Widget, metadata: {name: "+name+", finalizers: [example.com/wait]}, spec: {}}"), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.crds.ApiextensionsV1().CustomResourceDefinitions().Delete(t.Context(), crd.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		e.untilDefinition(t, crd.Name, func(crd *apiextensionsv1.CustomResourceDefinition) bool {
			c := apihelpers.FindCRDCondition(crd, apiextensionsv1.Terminating)
			return c != nil && c.Reason == "InstanceDeletionInProgress"
		})
		_, err := in.Create(t.Context(), document(t, "{apiVersion: example.com/v1, kind: Widget, metadata: {name: d}, spec: {}}"), metav1.CreateOptions{})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "create not allowed while custom resource definition is terminating") {
			t.Errorf("create while the definition is being deleted: %v", err)
		}
		for _, name := range []string{"b", "c"} {
			if _, err := in.Patch(t.Context(), name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		for deadline := time.Now().Add(20 * time.Second); ; {
			left, err := e.crds.ApiextensionsV1().CustomResourceDefinitions().Get(t.Context(), crd.Name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the definition is still there: %v, %v", left, err)
			}
		}
		// Its resources go a few milliseconds later, as in upstream.
		for deadline := time.Now().Add(20 * time.Second); ; {
			_, err := in.List(t.Context(), metav1.ListOptions{})
			if apierrors.IsNotFound(err) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("list after the definition is gone: %v", err)
			}
		}
	})
}

func TestCustomResourcesAreDocumented(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	before, err := e.typed.Discovery().OpenAPISchema()
	if err != nil {
		t.Fatal(err)
	}
	e.define(t, widgets)
	lists, err := e.typed.Discovery().ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	for _, list := range lists {
		for _, r := range list.APIResources {
			if r.Name == "widgets" {
				found = fmt.Sprint(list.GroupVersion, r.Kind, r.ShortNames, r.Categories, r.Namespaced, r.Verbs)
			}
		}
	}
	if want := "example.com/v1Widget[wd] [all] true [delete deletecollection get list patch create update watch]"; found != want {
		t.Errorf("discovery has %q, want %q", found, want)
	}
	paths, err := e.typed.Discovery().OpenAPIV3().Paths()
	if err != nil {
		t.Fatal(err)
	}
	document, err := paths["apis/example.com/v1"].Schema("application/json")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"com.example.v1.Widget"`, `"/apis/example.com/v1/namespaces/{namespace}/widgets/{name}/scale"`, `"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"`, `"x-kubernetes-selectable-fields"`} {
		if !strings.Contains(string(document), part) {
			t.Errorf("the v3 document has no %s", part)
		}
	}
	if _, err := paths["apis/example.com/v1"].Schema("application/com.github.proto-openapi.spec.v3.v1.0+protobuf"); err != nil {
		t.Errorf("as protobuf: %v", err)
	}
	after, err := e.typed.Discovery().OpenAPISchema()
	if err != nil {
		t.Fatal(err)
	}
	if more := len(after.Definitions.AdditionalProperties) - len(before.Definitions.AdditionalProperties); more != 2 {
		t.Errorf("the v2 document has %d more definitions, want 2", more)
	}
}

func TestDefinitionsWantTheSameNames(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	e.define(t, widgets)
	other := definition(t, strings.NewReplacer("widgets", "gadgets", "singular: widget", "singular: gadget", "WidgetList", "GadgetList").Replace(widgets))
	if _, err := e.crds.ApiextensionsV1().CustomResourceDefinitions().Create(t.Context(), other, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	refused := e.untilDefinition(t, other.Name, func(crd *apiextensionsv1.CustomResourceDefinition) bool {
		return apihelpers.IsCRDConditionFalse(crd, apiextensionsv1.NamesAccepted)
	})
	accepted := apihelpers.FindCRDCondition(refused, apiextensionsv1.NamesAccepted)
	if accepted.Reason != "ListKindConflict" || accepted.Message != `"WidgetList" is already in use` {
		t.Errorf("%+v", accepted)
	}
	if c := apihelpers.FindCRDCondition(refused, apiextensionsv1.Established); c.Reason != "NotAccepted" || c.Message != "not all names are accepted" {
		t.Errorf("%+v", c)
	}
	if err := e.crds.ApiextensionsV1().CustomResourceDefinitions().Delete(t.Context(), "widgets.example.com", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	e.untilDefinition(t, other.Name, func(crd *apiextensionsv1.CustomResourceDefinition) bool {
		return apihelpers.IsCRDConditionTrue(crd, apiextensionsv1.Established)
	})
	if _, err := e.Resource(gvr("example.com", "v1", "gadgets")).List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}
