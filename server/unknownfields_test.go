package server

import (
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const boxes = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boxes.example.com}
spec:
  group: example.com
  scope: Cluster
  names: {plural: boxes, kind: Box}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              open:
                type: object
                x-kubernetes-preserve-unknown-fields: true
                properties:
                  shut: {type: object, properties: {known: {type: string}}}
`

// TestUnknownFields keeps what a schema says to keep, and nothing else.
func TestUnknownFields(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	lax := definition(t, boxes)
	lax.Spec.PreserveUnknownFields = true
	const refusal = "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
	if _, err := e.crds.ApiextensionsV1().CustomResourceDefinitions().Create(t.Context(), lax, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), refusal) {
		t.Errorf("a definition that preserves all unknown fields: %v", err)
	}
	e.define(t, boxes)
	in := e.Resource(gvr("example.com", "v1", "boxes"))
	if _, err := in.Create(t.Context(), document(t, `
apiVersion: example.com/v1
kind: Box
metadata: {name: a}
spec:
  lost: 1
  open:
    kept: {deep: [{also: kept}]}
    shut: {known: "yes", lost: 1}
`), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	spec := func() string {
		t.Helper()
		one, err := in.Get(t.Context(), "a", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return field(one, "spec")
	}
	if got, want := spec(), `{"open":{"kept":{"deep":[{"also":"kept"}]},"shut":{"known":"yes"}}}`; got != want {
		t.Errorf("kept %s, want %s", got, want)
	}
	e.redefine(t, "boxes.example.com", func(crd *apiextensionsv1.CustomResourceDefinition) {
		spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
		open := spec.Properties["open"]
		open.XPreserveUnknownFields = nil
		spec.Properties["open"] = open
	})
	const want = `{"open":{"shut":{"known":"yes"}}}`
	got := spec() // servers follow definitions, they don't wait for each other
	for deadline := time.Now().Add(20 * time.Second); got != want && time.Now().Before(deadline); {
		got = spec()
	}
	if got != want {
		t.Errorf("kept %s with a schema that does no longer say so, want %s", got, want)
	}
	list, err := in.List(t.Context(), metav1.ListOptions{})
	if err != nil || field(&list.Items[0], "spec") != want {
		t.Errorf("list: %v, %v", list, err)
	}
}
