package server

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const bolts = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: bolts.example.com}
spec:
  group: example.com
  scope: Cluster
  names: {plural: bolts, kind: Bolt}
  versions:
  - name: v1
    served: true
    storage: true
    selectableFields: [{jsonPath: .spec.length}]
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {length: {type: integer}, head: {type: string}}}}}}
  - name: v2
    served: true
    storage: false
    selectableFields: [{jsonPath: .spec.size}]
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: string}, length: {type: integer}}}}}}
`

// TestSchemasChange has documents in the store that a changed schema sees
// otherwise than the one they were written with.
func TestSchemasChange(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	e.define(t, bolts)
	v1, v2 := e.Resource(gvr("example.com", "v1", "bolts")), e.Resource(gvr("example.com", "v2", "bolts"))
	if _, err := v1.Create(t.Context(), document(t, "{apiVersion: example.com/v1, kind: Bolt, metadata: {name: a}, spec: {length: 3, head: flat}}"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	in := func(r named, path, want string) {
		t.Helper()
		if got := field(r.get(t), path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	one := named{func(t *testing.T) (*unstructured.Unstructured, error) {
		return v1.Get(t.Context(), "a", metav1.GetOptions{})
	}}
	two := named{func(t *testing.T) (*unstructured.Unstructured, error) {
		return v2.Get(t.Context(), "a", metav1.GetOptions{})
	}}
	in(one, "spec.head", "flat")
	in(two, "spec.head", "") // v2 doesn't know it
	in(two, "spec.length", "3")
	in(two, "apiVersion", "example.com/v2")

	e.redefine(t, "bolts.example.com", func(crd *apiextensionsv1.CustomResourceDefinition) {
		spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
		delete(spec.Properties, "head")
		spec.Properties["steel"] = apiextensionsv1.JSONSchemaProps{Type: "string", Default: &apiextensionsv1.JSON{Raw: []byte(`"A2"`)}}
	})
	// Servers follow definitions, they don't wait for each other.
	for deadline := time.Now().Add(20 * time.Second); field(one.get(t), "spec.steel") == "" && time.Now().Before(deadline); {
	}
	in(one, "spec.head", "")
	in(one, "spec.steel", "A2")
	list, err := v1.List(t.Context(), metav1.ListOptions{})
	if err != nil || field(&list.Items[0], "spec.steel") != "A2" {
		t.Errorf("list: %v, %v", list, err)
	}
	list, err = v2.List(t.Context(), metav1.ListOptions{})
	if err != nil || list.Items[0].GetAPIVersion() != "example.com/v2" || list.GetAPIVersion() != "example.com/v2" {
		t.Errorf("list of v2: %v, %v", list, err)
	}
	w, err := v2.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if event := <-w.ResultChan(); event.Object.(*unstructured.Unstructured).GetAPIVersion() != "example.com/v2" {
		t.Errorf("watch of v2: %v", event)
	}
}

type named struct {
	read func(*testing.T) (*unstructured.Unstructured, error)
}

func (n named) get(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	u, err := n.read(t)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// hooked is a definition, the versions of which a webhook converts.
func hooked(t *testing.T, text string, hook *httptest.Server) string {
	t.Helper()
	crd := definition(t, text)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw})
	crd.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{
		Strategy: apiextensionsv1.WebhookConverter,
		Webhook: &apiextensionsv1.WebhookConversion{
			ClientConfig:             &apiextensionsv1.WebhookClientConfig{URL: &hook.URL, CABundle: authority},
			ConversionReviewVersions: []string{"v1"},
		},
	}
	b, err := json.Marshal(crd)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestConversionWebhook converts between a number and a text.
func TestConversionWebhook(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	var lies atomic.Bool
	hook := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review apiextensionsv1.ConversionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer := &apiextensionsv1.ConversionResponse{UID: review.Request.UID, Result: metav1.Status{Status: metav1.StatusSuccess}}
		for _, raw := range review.Request.Objects {
			u := &unstructured.Unstructured{}
			if err := u.UnmarshalJSON(raw.Raw); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			spec, _, _ := unstructured.NestedMap(u.Object, "spec")
			if strings.HasSuffix(review.Request.DesiredAPIVersion, "/v2") {
				spec = map[string]any{"size": fmt.Sprint("M", spec["length"])}
			} else {
				var length int64
				fmt.Sscanf(fmt.Sprint(spec["size"]), "M%d", &length)
				spec = map[string]any{"length": length}
			}
			u.Object["spec"] = spec
			u.SetAPIVersion(review.Request.DesiredAPIVersion)
			if lies.Load() {
				u.SetName("another")
			}
			answer.ConvertedObjects = append(answer.ConvertedObjects, runtime.RawExtension{Object: u})
		}
		review.Request, review.Response = nil, answer
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	}))
	defer hook.Close()
	e.define(t, hooked(t, bolts, hook))
	v1, v2 := e.Resource(gvr("example.com", "v1", "bolts")), e.Resource(gvr("example.com", "v2", "bolts"))
	created, err := v2.Create(t.Context(), document(t, "{apiVersion: example.com/v2, kind: Bolt, metadata: {name: a}, spec: {size: M5}}"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if field(created, "spec.size") != "M5" || created.GetAPIVersion() != "example.com/v2" {
		t.Errorf("created %v", created)
	}
	stored, err := v1.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || field(stored, "spec.length") != "5" || field(stored, "spec.size") != "" {
		t.Errorf("in v1: %v, %v", stored, err)
	}
	list, err := v2.List(t.Context(), metav1.ListOptions{})
	if err != nil || field(&list.Items[0], "spec.size") != "M5" {
		t.Errorf("list of v2: %v, %v", list, err)
	}
	for selector, want := range map[string]int{"spec.size=M5": 1, "spec.size=M6": 0} {
		list, err := v2.List(t.Context(), metav1.ListOptions{FieldSelector: selector})
		if err != nil || len(list.Items) != want {
			t.Errorf("%s selects %v, %v", selector, list, err)
		}
	}
	if err := unstructured.SetNestedField(created.Object, "M8", "spec", "size"); err != nil {
		t.Fatal(err)
	}
	if _, err = v2.Update(t.Context(), created, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if stored, err = v1.Get(t.Context(), "a", metav1.GetOptions{}); err != nil || field(stored, "spec.length") != "8" {
		t.Errorf("in v1 after an update in v2: %v, %v", stored, err)
	}

	lies.Store(true)
	if _, err := v2.Create(t.Context(), document(t, "{apiVersion: example.com/v2, kind: Bolt, metadata: {name: b}, spec: {size: M5}}"), metav1.CreateOptions{}); err == nil || !strings.Contains(err.Error(), "returned invalid object: must have the same name: b != another") {
		t.Errorf("a webhook that changes names: %v", err)
	}
	hook.Close()
	if _, err := v1.Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
		t.Errorf("without its webhook the stored version is not served: %v", err)
	}
	for _, selector := range []string{"spec.size=M5", "spec.size!=M5", "metadata.name=a,spec.size=M5"} {
		if list, err := v2.List(t.Context(), metav1.ListOptions{FieldSelector: selector}); err == nil || !strings.Contains(err.Error(), "conversion webhook for example.com/v1, Kind=Bolt failed") {
			t.Errorf("without its webhook %s selects %v, %v", selector, list, err)
		}
	}
	if _, err := v2.Create(t.Context(), document(t, "{apiVersion: example.com/v2, kind: Bolt, metadata: {name: c}, spec: {size: M5}}"), metav1.CreateOptions{}); err == nil || !strings.Contains(err.Error(), "conversion webhook for example.com/v2, Kind=Bolt failed") {
		t.Errorf("without its webhook: %v", err)
	}
}
