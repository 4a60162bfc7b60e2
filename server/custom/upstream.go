package custom

import (
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apiextensions-apiserver/pkg/crdserverscheme"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/registry/generic"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/server/objects"
)

// upstreamStorage is what upstream's REST storages of one version are made from.
type upstreamStorage struct {
	*definition
	version  *apiextensionsv1.CustomResourceDefinitionVersion
	storages *storages
}

func (u upstreamStorage) make() (customresource.CustomResourceStorage, error) {
	var none customresource.CustomResourceStorage
	structural, err := u.schemas.structural()
	if err != nil {
		return none, err
	}
	validator, statusValidator, err := u.validators()
	if err != nil {
		return none, err
	}
	status, scale, err := u.subresources()
	if err != nil {
		return none, err
	}
	strategy := customresource.NewStrategy(crdserverscheme.NewUnstructuredObjectTyper(), u.namespaced(), u.storages.kind,
		validator, statusValidator, structural[u.version.Name], status, scale, u.version.SelectableFields)
	s := u.storages
	made, err := customresource.NewStorage(s.resource, schema.GroupResource{Group: s.resource.Group, Resource: s.singular},
		s.kind, s.kind.GroupVersion().WithKind(s.listKind), strategy, storeOptions{s.objects, s.codec},
		u.Status.AcceptedNames.Categories, columns(u.version.AdditionalPrinterColumns), u.replicas())
	if err != nil {
		return none, err
	}
	store := made.CustomResource.Store
	store.CreateStrategy = createStrategy{store.CreateStrategy}
	return made, nil
}

// validators check whole objects, and their status alone.
func (u upstreamStorage) validators() (whole, status validation.SchemaValidator, err error) {
	crd, err := u.schemas.definition()
	if err != nil {
		return nil, nil, err
	}
	var internal *apiextensions.JSONSchemaProps
	for i := range crd.Spec.Versions {
		if v := &crd.Spec.Versions[i]; v.Name == u.version.Name {
			if internal, err = internalSchema(v); err != nil {
				return nil, nil, err
			}
		}
	}
	if whole, err = newValidator(internal); err != nil {
		return nil, nil, err
	}
	if internal != nil && u.version.Subresources != nil && u.version.Subresources.Status != nil {
		if part, ok := internal.Properties["status"]; ok {
			status, err = newValidator(&part)
		}
	}
	return whole, status, err
}

func newValidator(s *apiextensions.JSONSchemaProps) (validation.SchemaValidator, error) {
	validator, schema, err := validation.NewSchemaValidator(s)
	if err != nil {
		return nil, err
	}
	return provingValidator{validator, newProof(schema)}, nil
}

func (u upstreamStorage) subresources() (*apiextensions.CustomResourceSubresourceStatus, *apiextensions.CustomResourceSubresourceScale, error) {
	if u.version.Subresources == nil {
		return nil, nil, nil
	}
	internal := &apiextensions.CustomResourceSubresources{}
	if err := apiextensionsv1.Convert_v1_CustomResourceSubresources_To_apiextensions_CustomResourceSubresources(u.version.Subresources, internal, nil); err != nil {
		return nil, nil, fmt.Errorf("failed converting CRD subresources to internal version: %w", err)
	}
	return internal.Status, internal.Scale, nil
}

// replicas say where each version has the field that its scale sets.
func (u upstreamStorage) replicas() managedfields.ResourcePathMappings {
	paths := managedfields.ResourcePathMappings{}
	for _, v := range u.Spec.Versions {
		gv := schema.GroupVersion{Group: u.Spec.Group, Version: v.Name}.String()
		paths[gv] = nil
		if v.Subresources != nil && v.Subresources.Scale != nil {
			paths[gv] = splitPath(v.Subresources.Scale.SpecReplicasPath)
		}
	}
	return paths
}

// storeOptions make upstream's storage keep its objects in a store that is there.
type storeOptions struct {
	store *objects.Store
	codec runtime.Codec // by which dry runs copy what they would have stored
}

func (o storeOptions) GetRESTOptions(resource schema.GroupResource, _ runtime.Object) (generic.RESTOptions, error) {
	config := storagebackend.NewDefaultConfig(objects.Root, o.codec)
	config.EncodeVersioner = o.store.StorageVersion()
	return generic.RESTOptions{
		StorageConfig:           config.ForResource(resource),
		Decorator:               o.decorate,
		EnableGarbageCollection: true,
		DeleteCollectionWorkers: 1,
		ResourcePrefix:          resource.Group + "/" + resource.Resource,
	}, nil
}

func (o storeOptions) decorate(
	*storagebackend.ConfigForResource, string, func(runtime.Object) (string, error), func() runtime.Object, func() runtime.Object,
	apistorage.AttrFunc, apistorage.IndexerFuncs, *cache.Indexers,
) (apistorage.Interface, factory.DestroyFunc, error) {
	return o.store, func() {}, nil
}
