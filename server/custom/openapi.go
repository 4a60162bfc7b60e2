package custom

import (
	"context"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder"
	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/howdah/howdah/server/openapi"
)

var _ openapi.Source = (*Resources)(nil)

// Tags implements [openapi.Source], as do the following: a document is about the
// definitions of a group that serve a version, which are told by their
// generations.
func (r *Resources) Tags() map[string]string {
	tags := map[string]string{}
	for path, definitions := range r.documented() {
		hash := sha512.New()
		for _, d := range definitions {
			fmt.Fprintln(hash, d.Name, d.UID, d.Generation)
		}
		tags[path] = fmt.Sprintf("%X", hash.Sum(nil))
	}
	return tags
}

func (r *Resources) V3(_ context.Context, path string) ([]byte, error) {
	var parts []*spec3.OpenAPI
	version := path[strings.LastIndexByte(path, '/')+1:]
	for _, d := range r.documented()[path] {
		crd, err := d.schemas.definition()
		if err != nil {
			return nil, err
		}
		part, err := builder.BuildOpenAPIV3(crd, version, builder.Options{IncludeSelectableFields: true})
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", d.Name, err)
		}
		parts = append(parts, part)
	}
	whole, err := builder.MergeSpecsV3(parts...)
	if err != nil {
		return nil, err
	}
	return json.Marshal(whole)
}

func (r *Resources) AddV2(_ context.Context, swagger *spec.Swagger) (*spec.Swagger, error) {
	var parts []*spec.Swagger
	for path, definitions := range r.documented() {
		version := path[strings.LastIndexByte(path, '/')+1:]
		for _, d := range definitions {
			crd, err := d.schemas.definition()
			if err != nil {
				return nil, err
			}
			part, err := builder.BuildOpenAPIV2(crd, version, builder.Options{V2: true, IncludeSelectableFields: true})
			if err != nil {
				return nil, fmt.Errorf("describe %s: %w", d.Name, err)
			}
			part.Definitions = handler.PruneDefaults(part.Definitions) // the embedded ones have none
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return swagger, nil
	}
	return builder.MergeSpecs(swagger, parts...)
}

// documented are the definitions that are in OpenAPI, by document.
func (r *Resources) documented() map[string][]*definition {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[string][]*definition{}
	for _, d := range r.known {
		if len(d.rows) == 0 || !d.is(apiextensionsv1.Established) {
			continue
		}
		for _, v := range d.Spec.Versions {
			if v.Served {
				path := "apis/" + d.Spec.Group + "/" + v.Name
				found[path] = append(found[path], d)
			}
		}
	}
	for _, definitions := range found {
		slices.SortFunc(definitions, func(a, b *definition) int { return strings.Compare(a.Name, b.Name) })
	}
	return found
}
