package custom

import (
	"reflect"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// FuzzPlainMetadata: what is left as it stands is what upstream makes of it.
func FuzzPlainMetadata(f *testing.F) {
	for _, metadata := range []string{
		`{"name":"a"}`, `{"name":"a","labels":{"b":"c"},"annotations":{"d":""}}`, `{"generateName":"a-","namespace":"b"}`,
		`{}`, `null`, `{"name":""}`, `{"name":3}`, `{"labels":{}}`, `{"labels":null}`, `{"labels":{"a":1}}`, `{"labels":{"a":null}}`,
		`{"name":"a","uid":"b"}`, `{"name":"a","unknown":"b"}`, `{"name":"a","creationTimestamp":null}`, `{"Name":"a"}`, `"text"`, `{"name":"<\u2028>"}`,
	} {
		f.Add([]byte(metadata))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var metadata any
		if err := utiljson.Unmarshal(data, &metadata); err != nil || !plainMetadata(metadata) {
			return
		}
		object := map[string]any{"metadata": runtime.DeepCopyJSONValue(metadata)}
		made, found, unknown, err := objectmeta.GetObjectMetaWithOptions(object, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
		if err != nil || !found || len(unknown) > 0 {
			t.Fatalf("%s: %t, %v, %v", data, found, unknown, err)
		}
		if err := objectmeta.SetObjectMeta(object, made); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(object["metadata"], metadata) {
			t.Errorf("%s becomes %v", data, object["metadata"])
		}
	})
}

func TestPlainMetadata(t *testing.T) {
	for metadata, want := range map[string]bool{
		`{"name":"a","labels":{"b":"c"},"annotations":{"d":""}}`: true,
		`{"name":""}`: false, `{"labels":{}}`: false, `{"name":"a","uid":"b"}`: false, `null`: false,
	} {
		var value any
		if err := utiljson.Unmarshal([]byte(metadata), &value); err != nil {
			t.Fatal(err)
		}
		if got := plainMetadata(value); got != want {
			t.Errorf("%s: %t", metadata, got)
		}
	}
}
