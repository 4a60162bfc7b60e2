package write

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/server/write/fieldset"
)

// A tracker returns obj, which manager made of live, with its managed fields.
type tracker func(live, obj runtime.Object, manager string) runtime.Object

func newTracker(res *resource.Resource) tracker {
	if res.FieldManager == nil {
		return func(_, obj runtime.Object, _ string) runtime.Object { return obj }
	}
	// Fields that are reset by pattern are upstream's to track.
	if _, byPattern := res.Storage.(rest.ResetFieldsFilterStrategy); byPattern || res.Types == nil {
		return res.FieldManager.UpdateNoErrors
	}
	var reset map[fieldpath.APIVersion]*fieldpath.Set
	if strategy, ok := res.Storage.(rest.ResetFieldsStrategy); ok {
		reset = strategy.GetResetFields()
	}
	return fieldset.NewTracker(fieldset.Options{
		Kind:        res.Kind,
		Subresource: res.Subresource,
		Upstream:    res.FieldManager,
		Types:       res.Types,
		Creater:     res.Creater,
		Convertor:   res.UnsafeConvertor,
		Reset:       reset,
	}).Track
}
