package controllers_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// TestGarbageOfCustomResources: custom resources own, and are owned, as others do.
func TestGarbageOfCustomResources(t *testing.T) {
	c := start(t, nil, "garbagecollector")
	client := must(dynamic.NewForConfig(c.config))(t)
	definition := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "widgets.example.com"},
		"spec": map[string]any{
			"group": "example.com", "scope": "Namespaced", "names": map[string]any{"plural": "widgets", "kind": "Widget"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "schema": map[string]any{
				"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true},
			}}},
		},
	}}
	definitions := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	must(definitions.Create(c.ctx, definition, metav1.CreateOptions{}))(t)
	widgets := client.Resource(schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "widgets"}).Namespace("default")
	create := func(name string, owners ...metav1.OwnerReference) *unstructured.Unstructured {
		t.Helper()
		w := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Widget"}}
		w.SetName(name)
		w.SetOwnerReferences(owners)
		return must(widgets.Create(c.ctx, w, metav1.CreateOptions{}))(t)
	}
	reference := func(owner *unstructured.Unstructured) metav1.OwnerReference {
		return metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "Widget", Name: owner.GetName(), UID: owner.GetUID()}
	}
	eventually := func(what string, is func() bool) {
		t.Helper()
		for ; !is(); time.Sleep(20 * time.Millisecond) {
			if c.ctx.Err() != nil {
				t.Fatalf("%s: never", what)
			}
		}
	}
	eventually("the definition's resource", func() bool {
		_, err := widgets.List(c.ctx, metav1.ListOptions{})
		return err == nil
	})

	owner := create("owner")
	create("child", reference(owner))
	c.configMap("default", "child", func(m *metav1.ObjectMeta) { m.OwnerReferences = []metav1.OwnerReference{reference(owner)} })
	left := create("left")
	background := metav1.DeletePropagationBackground
	if err := widgets.Delete(c.ctx, "owner", metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		t.Fatal(err)
	}
	awaitGone(c, c.client.CoreV1().ConfigMaps("default"), "child")
	eventually("the owned widget's end", func() bool {
		list := must(widgets.List(c.ctx, metav1.ListOptions{}))(t)
		return len(list.Items) == 1 && list.Items[0].GetUID() == left.GetUID()
	})
}
