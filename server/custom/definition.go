package custom

import (
	"maps"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/storage"
)

// A definition is one version of a CustomResourceDefinition.
type definition struct {
	// CustomResourceDefinition has no schemas, no managed fields and few
	// annotations, which are most of its size.
	*apiextensionsv1.CustomResourceDefinition
	revision  int64
	schemas   *schemas
	rows      []*resource.Resource // in the table
	instances *object              // nil: not served
}

// newDefinition reads a stored definition.
func newDefinition(store *objects.Store, o *storage.Object) (*definition, error) {
	crd, err := decodeDefinition(store, o)
	if err != nil {
		return nil, err
	}
	d := &definition{CustomResourceDefinition: crd, revision: o.Revision}
	d.schemas = &schemas{store: store, preserve: crd.Spec.PreserveUnknownFields}
	d.schemas.object.Store(o)
	for i := range crd.Spec.Versions {
		crd.Spec.Versions[i].Schema = nil
		d.schemas.versions = append(d.schemas.versions, crd.Spec.Versions[i].Name)
	}
	crd.ManagedFields = nil
	maps.DeleteFunc(crd.Annotations, func(key, _ string) bool { return key != apiextensionsv1.KubeAPIApprovedAnnotation })
	return d, nil
}

// needsSchemas says whether the definition's conditions can only be judged with
// its schemas: it has, or had, some that are not structural.
func (d *definition) needsSchemas() bool {
	return d.Spec.PreserveUnknownFields || apihelpers.FindCRDCondition(d.CustomResourceDefinition, apiextensionsv1.NonStructuralSchema) != nil
}

func decodeDefinition(store *objects.Store, o *storage.Object) (*apiextensionsv1.CustomResourceDefinition, error) {
	internal, err := store.Decode(o)
	if err != nil {
		return nil, err
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	return crd, apiserver.Scheme.Convert(internal, crd, nil)
}

// served says whether the definition's resources have to be in the table.
func (d *definition) served() bool {
	return (d.is(apiextensionsv1.NamesAccepted) || d.is(apiextensionsv1.Established)) && d.named()
}

// named says whether it has all the names that rows need.
func (d *definition) named() bool {
	names := d.Status.AcceptedNames
	return names.Plural != "" && names.Singular != "" && names.Kind != "" && names.ListKind != ""
}

func (d *definition) is(condition apiextensionsv1.CustomResourceDefinitionConditionType) bool {
	return apihelpers.IsCRDConditionTrue(d.CustomResourceDefinition, condition)
}

func (d *definition) terminating() bool {
	return !d.DeletionTimestamp.IsZero() || d.is(apiextensionsv1.Terminating)
}

// servesLike says whether the rows of another version of the definition are
// the ones that this one would have.
func (d *definition) servesLike(other *definition) bool {
	return d.sameSpec(other) &&
		d.served() == other.served() && d.terminating() == other.terminating() &&
		equality.Semantic.DeepEqual(d.Status.AcceptedNames, other.Status.AcceptedNames)
}

// sameSpec: each change of a spec has a new generation.
func (d *definition) sameSpec(other *definition) bool {
	return d.UID == other.UID && d.Generation == other.Generation
}

// hooked says whether a webhook converts between the versions.
func (d *definition) hooked() bool {
	return d.Spec.Conversion != nil && d.Spec.Conversion.Strategy == apiextensionsv1.WebhookConverter
}

func (d *definition) namespaced() bool { return d.Spec.Scope == apiextensionsv1.NamespaceScoped }

func (d *definition) storageVersion() string {
	for _, v := range d.Spec.Versions {
		if v.Storage {
			return v.Name
		}
	}
	return "" // validation has seen to it
}

func (d *definition) groupKind() schema.GroupKind {
	return schema.GroupKind{Group: d.Spec.Group, Kind: d.Status.AcceptedNames.Kind}
}
