package read

import (
	"encoding/json"
	"reflect"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/howdah/howdah/server/encode/protojson"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
)

// types is what has to be known of a row's Go types in the served version.
type types struct {
	// native types have a protobuf encoding, and a JSON encoding that starts
	// with kind and apiVersion; their lists are TypeMeta, ListMeta and Items.
	// Others are encoded by their serializers, as a whole.
	native bool
	list   schema.GroupVersionKind
	// objectHead starts the JSON of an object: {"kind":"Pod","apiVersion":"v1",
	objectHead []byte
	// listHead starts the JSON of a list: {"kind":"PodList","apiVersion":"v1","metadata":
	listHead []byte
	// json and metadata make JSON of stored objects and of their metadata; nil
	// for types that they can't be for.
	json, metadata func() *protojson.Type
	// printed is what the printer of Tables reads of stored objects; nil: of all.
	printed *objects.Part
	// Keys of the encodings that are kept.
	jsonKey, protobufKey any
}

// A kept encoding is of an object in one version and form.
type kept struct {
	kind schema.GroupVersionKind
	form string
}

type message interface {
	runtime.Object
	runtime.ProtobufMarshaller
	Unmarshal([]byte) error
	MarshalToSizedBuffer([]byte) (int, error)
}

func newTypes(res *resource.Resource) types {
	t := types{
		jsonKey:     kept{res.Kind, "json"},
		protobufKey: kept{res.Kind, "protobuf"},
	}
	t.objectHead = head(res.Kind)
	t.json = func() *protojson.Type { return nil }
	t.metadata = planFor(reflect.TypeFor[metav1.ObjectMeta]())
	lister, ok := res.Storage.(rest.Lister)
	if !ok || res.Objects == nil {
		return t
	}
	if paths := printed[res.GroupResource()]; paths != nil && res.Decorate == nil {
		t.printed, _ = res.Objects.Part(paths...) // a test has them all
	}
	kinds, _, err := res.Typer.ObjectKinds(lister.NewList())
	if err != nil || len(kinds) == 0 {
		return t
	}
	t.list = res.Kind.GroupVersion().WithKind(kinds[0].Kind)
	t.listHead = append(head(t.list), `"metadata":`...)
	object, err := res.Creater.New(res.Kind)
	if err != nil {
		return t
	}
	list, err := res.Creater.New(t.list)
	if err != nil {
		return t
	}
	_, isMessage := object.(message)
	t.json = planFor(reflect.TypeOf(object).Elem())
	t.native = isMessage && startsWithTypeMeta(object, 2) && isPlainList(list)
	return t
}

// planFor makes the plan when it is first needed.
func planFor(t reflect.Type) func() *protojson.Type {
	return sync.OnceValue(func() *protojson.Type {
		plan, err := protojson.New(t)
		if err != nil {
			return nil // the long way goes for all types
		}
		return plan
	})
}

// head is the start of a JSON object with its type.
func head(kind schema.GroupVersionKind) []byte {
	type typeMeta struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
	}
	b, _ := json.Marshal(typeMeta{kind.Kind, kind.GroupVersion().String()}) // two strings
	b[len(b)-1] = ','
	return b
}

func startsWithTypeMeta(obj runtime.Object, fields int) bool {
	t := reflect.TypeOf(obj).Elem()
	return t.Kind() == reflect.Struct && t.NumField() >= fields && t.Field(0).Type == reflect.TypeFor[metav1.TypeMeta]()
}

// isPlainList says whether a list is nothing but its items, with the numbers in
// protobuf that lists have.
func isPlainList(list runtime.Object) bool {
	if !startsWithTypeMeta(list, 3) {
		return false
	}
	t := reflect.TypeOf(list).Elem()
	return t.NumField() == 3 &&
		t.Field(1).Type == reflect.TypeFor[metav1.ListMeta]() && numbered(t.Field(1), "bytes,1,") &&
		t.Field(2).Name == "Items" && numbered(t.Field(2), "bytes,2,rep,")
}

func numbered(f reflect.StructField, start string) bool {
	tag := f.Tag.Get("protobuf")
	return len(tag) >= len(start) && tag[:len(start)] == start
}
