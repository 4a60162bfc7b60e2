package write

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"
)

// mutates says whether admission may change objects of such an operation.
func (e *endpoint) mutates(op admission.Operation) (admission.MutationInterface, bool) {
	plugin, ok := e.deps.Admission.(admission.MutationInterface)
	return plugin, ok && plugin.Handles(op)
}

// mutate lets admission change the object, and puts its managed fields back
// when they are no longer valid afterwards.
func (e *endpoint) mutate(ctx context.Context, a admission.Attributes) error {
	plugin, ok := e.mutates(a.GetOperation())
	if !ok {
		return nil
	}
	accessor, err := meta.Accessor(a.GetObject())
	if err != nil {
		return plugin.Admit(ctx, a, e) // no metadata
	}
	raw := rawManagedFields(a.GetObject())
	var before []metav1.ManagedFieldsEntry
	if raw == nil {
		before = slices.Clone(accessor.GetManagedFields())
	}
	if err := plugin.Admit(ctx, a, e); err != nil {
		return err
	}
	if raw != nil {
		if now := rawManagedFields(a.GetObject()); len(now) == len(raw) && &now[0] == &raw[0] {
			return nil
		}
		before = (&unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"managedFields": raw}}}).GetManagedFields()
	}
	after := accessor.GetManagedFields()
	if slices.EqualFunc(before, after, sameEntry) {
		return nil
	}
	if err := managedfields.ValidateManagedFields(after); err != nil {
		accessor.SetManagedFields(before)
		warning.AddWarning(ctx, "", fmt.Sprintf(".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission controller; please fix your requests: %v", err))
	}
	return nil
}

// rawManagedFields are those of a custom resource as they stand in it: to make
// entries of them costs more than all of admission. Who changes them puts others
// in their place. nil: there are none, or the object is of another type.
func rawManagedFields(obj runtime.Object) []any {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	raw, _, _ := unstructured.NestedFieldNoCopy(u.Object, "metadata", "managedFields")
	entries, _ := raw.([]any)
	if len(entries) == 0 {
		return nil
	}
	return entries
}

func sameEntry(a, b metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.APIVersion == b.APIVersion &&
		a.FieldsType == b.FieldsType && a.Subresource == b.Subresource && a.Time.Equal(b.Time) &&
		sameFields(a.FieldsV1, b.FieldsV1)
}

func sameFields(a, b *metav1.FieldsV1) bool {
	if a == nil || b == nil {
		return a == b
	}
	return bytes.Equal(a.GetRawBytes(), b.GetRawBytes())
}

// validates says whether admission has a say in such an operation.
func (e *endpoint) validates(op admission.Operation) bool {
	plugin, ok := e.deps.Admission.(admission.ValidationInterface)
	return ok && plugin.Handles(op)
}

// spared says whether validators may be nil when there is nothing to validate:
// the registry copies both objects for a validator, which costs more than most
// plugins. Subresources with a storage of their own call it unasked.
func (e *endpoint) spared(op admission.Operation) bool {
	return (e.Subresource == "" || e.Subresource == "status") && !e.validates(op)
}

func (e *endpoint) createValidation(a admission.Attributes) rest.ValidateObjectFunc {
	if e.spared(admission.Create) {
		return nil
	}
	return rest.AdmissionToValidateObjectFunc(e.deps.Admission, a, e)
}

func (e *endpoint) updateValidation(a admission.Attributes) rest.ValidateObjectUpdateFunc {
	if e.spared(admission.Update) {
		return nil
	}
	return rest.AdmissionToValidateObjectUpdateFunc(e.deps.Admission, a, e)
}
