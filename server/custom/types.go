package custom

import (
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/spec3"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// types tell server-side apply which lists are maps or sets, from the schemas of
// all versions. They are made by the first write.
type types struct {
	made func() managedfields.TypeConverter
}

func newTypes(s *schemas) types {
	return types{sync.OnceValue(func() managedfields.TypeConverter {
		converter, err := s.typeConverter()
		if err != nil {
			// As for definitions without schemas: lists are changed as a whole.
			return managedfields.NewDeducedTypeConverter()
		}
		return converter
	})}
}

func (t types) ObjectToTyped(obj runtime.Object, options ...typed.ValidationOptions) (*typed.TypedValue, error) {
	return t.made().ObjectToTyped(obj, options...)
}

func (t types) TypedToObject(value *typed.TypedValue) (runtime.Object, error) {
	return t.made().TypedToObject(value)
}

func (s *schemas) typeConverter() (managedfields.TypeConverter, error) {
	crd, err := s.definition()
	if err != nil {
		return nil, err
	}
	var models []*spec3.OpenAPI
	for _, v := range crd.Spec.Versions {
		model, err := builder.BuildOpenAPIV3(crd, v.Name, builder.Options{})
		if err != nil {
			return nil, err
		}
		models = append(models, model)
	}
	all, err := builder.MergeSpecsV3(models...)
	if err != nil {
		return nil, err
	}
	return managedfields.NewTypeConverter(all.Components.Schemas, crd.Spec.PreserveUnknownFields)
}
