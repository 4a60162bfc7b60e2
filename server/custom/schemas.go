package custom

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/storage"
)

// schemas are those of one generation of a definition, made from its stored
// bytes when they are first needed.
type schemas struct {
	store    *objects.Store
	object   atomic.Pointer[storage.Object] // the latest with this spec, which the cache has too
	preserve bool                           // spec.preserveUnknownFields
	versions []string

	once    sync.Once
	made    map[string]*schema.Structural
	embeds  map[string]bool // versions with objects that have metadata of their own
	failure error

	shapeOnce    sync.Once
	shaped       map[string]*shape
	shapeFailure error
}

// errSchema is what upstream says of a schema that its own validation should
// have refused.
var errSchema = errors.New("the server could not properly serve the CR schema")

// definition is the whole definition, decoded anew: nobody needs it for long.
func (s *schemas) definition() (*apiextensionsv1.CustomResourceDefinition, error) {
	return decodeDefinition(s.store, s.object.Load())
}

// structural are the structural schemas by version; a version without schema
// has none.
func (s *schemas) structural() (map[string]*schema.Structural, error) {
	s.once.Do(func() {
		if s.made, s.failure = s.make(); s.failure == nil {
			s.embeds = map[string]bool{}
			for version, structural := range s.made {
				s.embeds[version] = embeds(structural)
			}
		}
	})
	return s.made, s.failure
}

// embeds says whether a value of the schema may have objects with metadata of
// their own in it.
func embeds(s *schema.Structural) bool {
	if s == nil {
		return false
	}
	if s.XEmbeddedResource || embeds(s.Items) || s.AdditionalProperties != nil && embeds(s.AdditionalProperties.Structural) {
		return true
	}
	for _, property := range s.Properties {
		if embeds(&property) {
			return true
		}
	}
	return false
}

// shapes are those of the documents of each version.
func (s *schemas) shapes() (map[string]*shape, error) {
	s.shapeOnce.Do(func() {
		structural, err := s.structural()
		if err != nil {
			s.shapeFailure = err
			return
		}
		s.shaped = map[string]*shape{}
		for _, version := range s.versions {
			s.shaped[version] = newShape(structural[version])
		}
	})
	return s.shaped, s.shapeFailure
}

func (s *schemas) make() (map[string]*schema.Structural, error) {
	crd, err := s.definition()
	if err != nil {
		return nil, err
	}
	made := map[string]*schema.Structural{}
	for _, v := range crd.Spec.Versions {
		internal, err := internalSchema(&v)
		if err != nil {
			return nil, err
		}
		if internal == nil {
			continue
		}
		structural, err := schema.NewStructural(internal)
		if s.preserve {
			// From before there were structural schemas: what can't be one does nothing.
			if err == nil {
				made[v.Name] = structural
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s", errSchema, err)
		}
		structural = structural.DeepCopy() // it shares defaults with what it was made from
		if err := defaulting.PruneDefaults(structural); err != nil {
			return nil, fmt.Errorf("%w: %s", errSchema, err)
		}
		undescribed := schema.Visitor{Structural: func(s *schema.Structural) bool {
			changed := s.Description != "" || s.Title != ""
			s.Description, s.Title = "", ""
			return changed
		}}
		undescribed.Visit(structural)
		made[v.Name] = structural
	}
	return made, nil
}

// internalSchema is the schema of a version in upstream's internal type; nil
// when it has none.
func internalSchema(v *apiextensionsv1.CustomResourceDefinitionVersion) (*apiextensions.JSONSchemaProps, error) {
	if v.Schema == nil {
		return nil, nil
	}
	internal := &apiextensions.CustomResourceValidation{}
	err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v.Schema, internal, nil)
	if err != nil {
		return nil, fmt.Errorf("failed converting CRD validation to internal version: %w", err)
	}
	return internal.OpenAPIV3Schema, nil
}
