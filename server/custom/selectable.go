package custom

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/storage"
)

// selectable are the fields of a version that field selectors see: those of what
// a read gives, with the schema's defaults and converted.
type selectable struct {
	document func(*storage.Object) ([]byte, bool) // of the version; may be nil
	objects  *objects.Store                       // decodes to the version
}

func (s selectable) fields(o *storage.Object) (fields.Fields, error) {
	if s.document != nil {
		if _, ok := s.document(o); ok {
			return o.Fields, nil // they stand in the document
		}
	}
	obj, err := s.objects.Decode(o)
	if err != nil {
		return nil, err
	}
	return decodedFields{obj.(*unstructured.Unstructured)}, nil
}

type decodedFields struct{ *unstructured.Unstructured }

func (decodedFields) Has(string) bool { return true }

func (f decodedFields) Get(field string) string {
	value, found, err := unstructured.NestedFieldNoCopy(f.Object, strings.Split(field, ".")...)
	if err != nil || !found || value == nil {
		return ""
	}
	return fmt.Sprint(value)
}
