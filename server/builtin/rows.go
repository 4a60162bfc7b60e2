package builtin

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	endpoints "k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/deprecation"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/server/version"
)

// A rowMaker derives rows of the table from storages, by the interfaces that
// they implement.
type rowMaker struct {
	getter *objects.Getter
	types  managedfields.TypeConverter

	// The group's own.
	scheme         *runtime.Scheme
	parameterCodec runtime.ParameterCodec
	serializer     runtime.NegotiatedSerializer
}

// use makes the maker one for a group; groups of one scheme share what is made
// of it.
func (m *rowMaker) use(group genericapiserver.APIGroupInfo) {
	if m.scheme != group.Scheme {
		m.serializer = negotiatedSerializer(group.Scheme)
	}
	m.scheme, m.parameterCodec = group.Scheme, group.ParameterCodec
}

// row derives the row of one path ("pods", "pods/status") of a group version,
// all of whose storages are given.
func (m rowMaker) row(gv schema.GroupVersion, path string, storages map[string]rest.Storage) (*resource.Resource, error) {
	storage := storages[path]
	name, subresource, _ := strings.Cut(path, "/")
	scoper, ok := storages[name].(rest.Scoper)
	if !ok {
		return nil, fmt.Errorf("%q does not say whether it is namespaced", name)
	}
	kind, err := endpoints.GetResourceKind(gv, storage, m.scheme)
	if err != nil {
		return nil, err
	}

	if store := genericStore(storage); store != nil {
		validateWithoutCopies(store, m.scheme)
	}
	row := &resource.Resource{
		GroupVersionResource: gv.WithResource(name),
		Subresource:          subresource,
		Kind:                 kind,
		Namespaced:           scoper.NamespaceScoped(),
		Verbs:                verbs(storage),
		Priority:             priority(gv),

		Storage: storage,

		Creater:         m.scheme,
		Convertor:       m.scheme,
		UnsafeConvertor: runtime.UnsafeObjectConvertor(m.scheme),
		Defaulter:       m.scheme,
		Typer:           m.scheme,
		Serializer:      m.serializer,
		Types:           m.types,
		ParameterCodec:  m.parameterCodec,
		Hub:             schema.GroupVersion{Group: kind.Group, Version: runtime.APIVersionInternal},
	}
	row.Table, _ = storage.(rest.TableConvertor)
	row.AcceptsGroupVersion, _ = storage.(rest.GroupVersionAcceptor)
	if provider, ok := storage.(rest.ShortNamesProvider); ok {
		row.ShortNames = provider.ShortNames()
	}
	if provider, ok := storage.(rest.CategoriesProvider); ok {
		row.Categories = provider.Categories()
	}
	if provider, ok := storage.(rest.SingularNameProvider); ok && subresource == "" {
		row.Singular = provider.GetSingularName()
	}
	stored, err := m.storageKind(storage)
	if err != nil {
		return nil, err
	}
	if !stored.Empty() {
		row.StorageVersionHash = discovery.StorageVersionHash(stored.Group, stored.Version, stored.Kind)
	}
	if err := m.deprecate(row); err != nil {
		return nil, err
	}
	if err := m.shareObjects(row, storages[name]); err != nil {
		return nil, err
	}
	row.FieldManager, err = m.fieldManager(row)
	return row, err
}

// storageKind is the version and kind that the storage's objects are stored
// in; empty when it does not say.
func (m rowMaker) storageKind(storage rest.Storage) (schema.GroupVersionKind, error) {
	provider, ok := storage.(rest.StorageVersionProvider)
	if !ok || provider.StorageVersion() == nil {
		return schema.GroupVersionKind{}, nil
	}
	kinds, _, err := m.scheme.ObjectKinds(storage.New())
	if err != nil {
		return schema.GroupVersionKind{}, err
	}
	stored, ok := provider.StorageVersion().KindForGroupVersionKinds(kinds)
	if !ok {
		return schema.GroupVersionKind{}, fmt.Errorf("no storage version among %v", kinds)
	}
	return stored, nil
}

func (m rowMaker) deprecate(row *resource.Resource) error {
	obj, err := m.scheme.New(row.Kind)
	if err != nil {
		return err
	}
	obj.GetObjectKind().SetGroupVersionKind(row.Kind)
	major, minor, err := deprecation.MajorMinor(version.Info())
	if err != nil {
		return fmt.Errorf("the version this program reports: %w", err)
	}
	if deprecation.IsDeprecated(obj, major, minor) {
		row.RemovedRelease = deprecation.RemovedRelease(obj)
		row.Warnings = []string{deprecation.WarningMessage(obj)}
	}
	return nil
}

// shareObjects finds where the storage keeps its objects. Subresources have
// them only when their body is the resource's own object.
func (m rowMaker) shareObjects(row *resource.Resource, parent rest.Storage) error {
	store := genericStore(row.Storage)
	if store == nil || !sameType(row.Storage.New(), parent.New()) {
		return nil
	}
	row.Objects = m.getter.Store(store.DefaultQualifiedResource)
	row.Decorate = store.Decorator
	// Subresources do not say how they are stored; their resources do.
	stored, err := m.storageKind(parent)
	row.Exact = row.Decorate == nil && stored == row.Kind
	return err
}

func (m rowMaker) fieldManager(row *resource.Resource) (*managedfields.FieldManager, error) {
	var reset map[fieldpath.APIVersion]fieldpath.Filter
	if strategy, ok := row.Storage.(rest.ResetFieldsStrategy); ok {
		reset = fieldpath.NewExcludeFilterSetMap(strategy.GetResetFields())
	}
	if strategy, ok := row.Storage.(rest.ResetFieldsFilterStrategy); ok {
		reset = strategy.GetResetFieldsFilter()
	}
	return managedfields.NewDefaultFieldManager(m.types, row.UnsafeConvertor, row.Defaulter, row.Creater,
		row.Kind, row.Hub, row.Subresource, reset)
}
