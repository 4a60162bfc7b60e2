package builtin

import (
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
)

// genericStore finds the generic store that a storage is a shell around, or
// nil. Upstream's storages embed it, embed a storage that does, or have it in
// a field named store, and show it through no interface.
func genericStore(storage rest.Storage) *genericregistry.Store {
	return genericStoreIn(reflect.ValueOf(storage))
}

func genericStoreIn(v reflect.Value) *genericregistry.Store {
	for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		if v.Type() == reflect.TypeFor[*genericregistry.Store]() {
			return (*genericregistry.Store)(v.UnsafePointer())
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil
	}
	for i := range v.NumField() {
		if field := v.Type().Field(i); field.Anonymous || field.Name == "store" {
			if store := genericStoreIn(v.Field(i)); store != nil {
				return store
			}
		}
	}
	return nil
}

func sameType(a, b runtime.Object) bool { return reflect.TypeOf(a) == reflect.TypeOf(b) }
