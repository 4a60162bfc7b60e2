package custom

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/crdserverscheme"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// TestOwnEntries: what is taken for valid is so for upstream, too.
func TestOwnEntries(t *testing.T) {
	usual := func(change func(map[string]any)) map[string]any {
		entry := map[string]any{
			"manager": "kubectl-create", "operation": "Update", "apiVersion": "example.com/v1", "time": "2026-01-02T03:04:05Z",
			"fieldsType": "FieldsV1", "fieldsV1": map[string]any{"f:spec": map[string]any{"f:size": map[string]any{}}},
		}
		if change != nil {
			change(entry)
		}
		return entry
	}
	if !ownEntry(usual(nil)) {
		t.Error("a usual entry is not taken for valid")
	}
	with := func(name string, value any) map[string]any {
		return usual(func(entry map[string]any) { entry[name] = value })
	}
	for _, entry := range []any{
		usual(nil), usual(func(e map[string]any) { delete(e, "operation") }), usual(func(e map[string]any) { delete(e, "fieldsType") }),
		usual(func(e map[string]any) { delete(e, "time") }), usual(func(e map[string]any) { delete(e, "fieldsV1") }),
		with("operation", "Create"), with("operation", ""), with("operation", 3), with("operation", "Apply"),
		with("fieldsType", "FieldsV2"), with("fieldsType", ""), with("fieldsV1", "x"), with("fieldsV1", nil),
		with("manager", strings.Repeat("m", 128)), with("manager", strings.Repeat("m", 129)), with("manager", "a\nb"), with("manager", "ä"), with("manager", nil),
		with("time", "yesterday"), with("time", nil), with("subresource", "status"), with("subresource", strings.Repeat("s", 300)), with("more", "x"),
		nil, "entry", map[string]any{},
	} {
		metadata := &metav1.ObjectMeta{}
		document := map[string]any{"name": "a", "managedFields": []any{entry}}
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(document, metadata)
		valid := err == nil && len(validation.ValidateObjectMeta(metadata, false, validation.NameIsDNSSubdomain, field.NewPath("metadata"))) == 0
		if ownEntry(entry) && !valid {
			t.Errorf("%v is taken for valid: %v", entry, err)
		}
	}
}

// TestManagedFieldsAreTakenOut: upstream's validation doesn't see them, whoever comes
// after it does.
func TestManagedFieldsAreTakenOut(t *testing.T) {
	entry := map[string]any{"manager": "me", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": map[string]any{}}
	foreign := map[string]any{"manager": "me", "operation": "Create"}
	for _, test := range []struct {
		entries []any
		ctx     context.Context
		out     bool
	}{
		{[]any{entry}, withoutManagedFields(t.Context()), true},
		{[]any{entry}, t.Context(), false},
		{[]any{entry, entry}, withoutManagedFields(t.Context()), false},
		{[]any{foreign}, withoutManagedFields(t.Context()), false},
		{nil, withoutManagedFields(t.Context()), false},
	} {
		strategy := createStrategy{customresource.NewStrategy(crdserverscheme.NewUnstructuredObjectTyper(), false, schema.GroupVersionKind{}, nil, nil, nil, nil, nil, nil)}
		u := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "a"}}}
		if test.entries != nil {
			u.Object["metadata"].(map[string]any)["managedFields"] = test.entries
		}
		before := u.DeepCopy()
		before.SetGeneration(1)
		strategy.PrepareForCreate(test.ctx, u)
		if _, there := u.Object["metadata"].(map[string]any)["managedFields"]; there == (test.out || test.entries == nil) {
			t.Errorf("%v: there: %t", test.entries, there)
		}
		strategy.WarningsOnCreate(test.ctx, u)
		if !reflect.DeepEqual(u, before) {
			t.Errorf("%v: %v, want %v", test.entries, u, before)
		}
	}
}
