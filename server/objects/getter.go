package objects

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/registry/generic"
	serveroptions "k8s.io/apiserver/pkg/server/options"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/controlplane"
	"k8s.io/kubernetes/pkg/kubeapiserver"

	"github.com/howdah/howdah/storage"
)

// NewStorageFactory knows the codec, the storage version and the prefix of every
// built-in resource, with upstream's defaults.
func NewStorageFactory() (*serverstorage.DefaultStorageFactory, error) {
	options := serveroptions.NewEtcdOptions(storagebackend.NewDefaultConfig(Root, nil))
	options.DefaultStorageMediaType = runtime.ContentTypeProtobuf
	config := kubeapiserver.NewStorageFactoryConfig()
	config.APIResourceConfig = controlplane.DefaultAPIResourceConfigSource()
	return config.Complete(options).New()
}

// A Getter gives upstream's REST storages their options, such that they keep
// their objects in the byte store. It remembers the [Store] of each resource.
type Getter struct {
	store   *storage.Store
	factory serverstorage.StorageFactory

	mu     sync.Mutex
	stores map[schema.GroupResource]*Store
}

var _ generic.RESTOptionsGetter = (*Getter)(nil)

// NewGetter returns a getter for resources of the built-in scheme.
func NewGetter(store *storage.Store, factory serverstorage.StorageFactory) *Getter {
	return &Getter{store: store, factory: factory, stores: map[schema.GroupResource]*Store{}}
}

// Store of a resource whose REST storage was made with the getter; else nil.
func (g *Getter) Store(resource schema.GroupResource) *Store {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stores[resource]
}

// GetRESTOptions implements [generic.RESTOptionsGetter].
func (g *Getter) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	config, err := g.factory.NewConfig(resource, example)
	if err != nil {
		return generic.RESTOptions{}, fmt.Errorf("unable to find storage destination for %s: %w", resource, err)
	}
	return generic.RESTOptions{
		StorageConfig:           config,
		Decorator:               g.decorator(legacyscheme.Scheme),
		EnableGarbageCollection: true,
		DeleteCollectionWorkers: 1,
		ResourcePrefix:          g.factory.ResourcePrefix(resource),
	}, nil
}

// InScheme is a getter for resources of another scheme, which are stored in the
// version.
func (g *Getter) InScheme(scheme *runtime.Scheme, version schema.GroupVersion) generic.RESTOptionsGetter {
	return inScheme{g, scheme, version}
}

type inScheme struct {
	getter  *Getter
	scheme  *runtime.Scheme
	version schema.GroupVersion
}

// GetRESTOptions implements [generic.RESTOptionsGetter].
func (s inScheme) GetRESTOptions(resource schema.GroupResource, _ runtime.Object) (generic.RESTOptions, error) {
	config := storagebackend.NewDefaultConfig(Root, serializer.NewCodecFactory(s.scheme).LegacyCodec(s.version))
	config.EncodeVersioner = s.version
	return generic.RESTOptions{
		StorageConfig:           config.ForResource(resource),
		Decorator:               s.getter.decorator(s.scheme),
		EnableGarbageCollection: true,
		DeleteCollectionWorkers: 1,
		ResourcePrefix:          resource.Group + "/" + resource.Resource,
	}, nil
}

// decorator keeps resources of the scheme in the byte store.
func (g *Getter) decorator(scheme *runtime.Scheme) generic.StorageDecorator {
	return func(
		config *storagebackend.ConfigForResource, resourcePrefix string,
		_ func(runtime.Object) (string, error), newObject, _ func() runtime.Object,
		attributes apistorage.AttrFunc, triggers apistorage.IndexerFuncs, indexers *cache.Indexers,
	) (apistorage.Interface, factory.DestroyFunc, error) {
		s, err := g.open(Config{
			Store: g.store, Resource: config.GroupResource, Prefix: resourcePrefix,
			Codec: config.Codec, Versioner: config.EncodeVersioner, Scheme: scheme,
			New: newObject, Attributes: attributes, Indexes: indexNames(triggers, indexers),
		})
		return s, func() {}, err
	}
}

// open returns the resource's store, made when it is first asked for.
func (g *Getter) open(c Config) (*Store, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.stores[c.Resource]; s != nil {
		return s, nil
	}
	s, err := New(c)
	if err != nil {
		return nil, err
	}
	g.stores[c.Resource] = s
	return s, nil
}

// indexNames are the fields that upstream's cache has an index of.
func indexNames(triggers apistorage.IndexerFuncs, indexers *cache.Indexers) []string {
	var names []string
	for name := range triggers {
		names = append(names, name)
	}
	if indexers != nil {
		for name := range *indexers {
			if field, ok := strings.CutPrefix(name, apistorage.FieldIndex("")); ok {
				names = append(names, field)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
