package custom

import (
	"context"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
)

// A createStrategy is upstream's, which validates metadata twice, each time by
// making a Go value of it. The first time managed fields, which are most of it,
// are left out if they are as we write them.
type createStrategy struct{ rest.RESTCreateStrategy }

func (s createStrategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return s.RESTCreateStrategy.Validate(ctx, obj)
	}
	metadata, _ := u.Object["metadata"].(map[string]any)
	entries, _ := metadata["managedFields"].([]any)
	if len(entries) != 1 || !ownEntry(entries[0]) {
		return s.RESTCreateStrategy.Validate(ctx, obj)
	}
	metadata = maps.Clone(metadata)
	delete(metadata, "managedFields")
	lean := maps.Clone(u.Object)
	lean["metadata"] = metadata
	return s.RESTCreateStrategy.Validate(ctx, &unstructured.Unstructured{Object: lean})
}

// ownEntry says whether an entry of managed fields certainly is valid.
func ownEntry(entry any) bool {
	fields, _ := entry.(map[string]any)
	for name, value := range fields {
		if name == "fieldsV1" {
			if _, ok := value.(map[string]any); !ok {
				return false
			}
			continue
		}
		text, ok := value.(string)
		switch {
		case !ok:
			return false
		case name == "operation":
			ok = text == "Update" || text == "Apply"
		case name == "fieldsType":
			ok = text == "FieldsV1"
		case name == "time":
			_, err := time.Parse(time.RFC3339, text)
			ok = err == nil
		case name == "manager":
			ok = len(text) <= 128 && printable(text)
		default:
			ok = name == "apiVersion"
		}
		if !ok {
			return false
		}
	}
	return fields["operation"] != nil && fields["fieldsType"] != nil
}

func printable(text string) bool {
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
