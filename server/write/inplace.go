package write

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// A merge patch is defined on documents: the object becomes one, is merged and
// is read again. Most patches name one or two fields, though, and merging is
// local: what a patch says of a field only concerns that field. So the patch is
// followed down the Go structs, and only the fields that it names become
// documents. Where that does not go as planned, be it an unknown field or any
// other error, the whole object is patched the long way, which also knows what
// to tell the client.

// errLongWay asks for that.
var errLongWay = errors.New("this patch needs the whole document")

// A fieldMerger merges what a patch says of one field, into the struct that it
// is given: all other fields of it are zero.
type fieldMerger interface {
	merge(parent reflect.Value, name string, change any) error
	// whole says whether a map in a patch must be merged as one document.
	whole(change map[string]any) bool
}

// inPlace applies the changes to a copy of current, and returns it in the hub
// version, with defaults.
func (p *patch) inPlace(current runtime.Object, changes map[string]any, merger fieldMerger) (runtime.Object, error) {
	if _, untyped := current.(runtime.Unstructured); untyped || merger.whole(changes) {
		return nil, errLongWay
	}
	for _, typeField := range []string{"apiVersion", "kind"} {
		if _, changes := changes[typeField]; changes {
			return nil, errLongWay
		}
	}
	versioned, err := p.UnsafeConvertor.ConvertToVersion(current.DeepCopyObject(), p.Kind.GroupVersion())
	if err != nil {
		return nil, err
	}
	if err := mergeInto(reflect.ValueOf(versioned).Elem(), changes, merger); err != nil {
		return nil, err
	}
	p.Defaulter.Default(versioned)
	return p.UnsafeConvertor.ConvertToVersion(versioned, p.Hub)
}

func mergeInto(object reflect.Value, changes map[string]any, merger fieldMerger) error {
	fields := value.TypeReflectEntryOf(object.Type()).Fields()
	for name, change := range changes {
		entry, known := fields[name]
		if !known {
			return errLongWay
		}
		field := entry.GetFrom(object)
		if !field.CanSet() {
			return errLongWay
		}
		if deeper, isMap := change.(map[string]any); isMap && !merger.whole(deeper) {
			if inner, ok := innerStruct(field); ok {
				if err := mergeInto(inner, deeper, merger); err != nil {
					return err
				}
				continue
			}
		}
		alone := reflect.New(object.Type()).Elem()
		entry.GetFrom(alone).Set(field)
		if err := merger.merge(alone, name, change); err != nil {
			return err
		}
		field.Set(entry.GetFrom(alone))
	}
	return nil
}

// innerStruct is the struct that a field is, or points to, if its fields are
// those that JSON shows.
func innerStruct(field reflect.Value) (reflect.Value, bool) {
	if value.TypeReflectEntryOf(field.Type()).CanConvertToUnstructured() {
		return field, false
	}
	if field.Kind() == reflect.Pointer && !field.IsNil() {
		field = field.Elem()
	}
	if field.Kind() != reflect.Struct || value.TypeReflectEntryOf(field.Type()).CanConvertToUnstructured() {
		return field, false
	}
	return field, true
}

// strategicMerger merges as the Go types' tags say.
type strategicMerger struct{}

// whole: directives are about the map that they are in.
func (strategicMerger) whole(change map[string]any) bool {
	for name := range change {
		if strings.HasPrefix(name, "$") {
			return true
		}
	}
	return false
}

func (strategicMerger) merge(parent reflect.Value, name string, change any) error {
	document, err := runtime.DefaultUnstructuredConverter.ToUnstructured(parent.Addr().Interface())
	if err != nil {
		return err
	}
	original := map[string]any{}
	if field, ok := document[name]; ok {
		original[name] = field
	}
	patched, err := strategicpatch.StrategicMergeMapPatch(original, map[string]any{name: change}, parent.Addr().Interface())
	if err != nil {
		return errLongWay
	}
	parent.SetZero()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(patched, parent.Addr().Interface(), true); err != nil {
		return errLongWay
	}
	return nil
}

// documentMerger merges as RFC 7386 says.
type documentMerger struct{}

func (documentMerger) whole(map[string]any) bool { return false }

func (documentMerger) merge(parent reflect.Value, name string, change any) error {
	document, err := json.Marshal(parent.Addr().Interface())
	if err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(document, &all); err != nil {
		return err
	}
	original := map[string]json.RawMessage{}
	if field, ok := all[name]; ok {
		original[name] = field
	}
	before, err := json.Marshal(original)
	if err != nil {
		return err
	}
	changes, err := json.Marshal(map[string]any{name: change})
	if err != nil {
		return err
	}
	patched, err := jsonpatch.MergePatch(before, changes)
	if err != nil {
		return errLongWay
	}
	parent.SetZero()
	if found, err := kjson.UnmarshalStrict(patched, parent.Addr().Interface()); err != nil || len(found) > 0 {
		return errLongWay
	}
	return nil
}
