package builtin

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/kubernetes/pkg/registry/core/rangeallocation"

	"github.com/howdah/howdah/server/builtin/schemas"
	"github.com/howdah/howdah/server/resource"
)

// Installed is what Install leaves behind for others to use.
type Installed struct {
	// Client calls the API through the loopback.
	Client kubernetes.Interface
	// NodePorts is the stored bitmap of node ports, for its repair loop.
	NodePorts rangeallocation.RangeRegistry
	// Addresses keeps the addresses of running servers, under /masterleases.
	Addresses storage.Interface
	// Config is the given one with its defaults filled in.
	Config Config

	services serviceAllocators
	storages []rest.Storage
	stop     sync.Once
}

// Install adds the rows of all resources that c.APIs has on to the table.
// Nothing of it may be called before the informers and the server run.
func Install(table *resource.Table, c Config) (*Installed, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	quiet := restclient.CopyConfig(c.Loopback)
	quiet.WarningHandlerWithContext = restclient.NoWarnings{} // we know what we deprecate
	client, err := kubernetes.NewForConfig(quiet)
	if err != nil {
		return nil, fmt.Errorf("make a client for the loopback: %w", err)
	}
	services, err := newServiceAllocators(c, client)
	if err != nil {
		services.stop()
		return nil, err
	}
	addresses, err := serverAddresses.open(c.Getter)
	if err != nil {
		services.stop()
		return nil, err
	}
	installed := &Installed{
		Client: client, NodePorts: services.storedPorts, Addresses: addresses, Config: c, services: services,
	}

	maker := rowMaker{getter: c.Getter, types: schemas.NewConverter()}
	var rows []*resource.Resource
	for _, p := range providers(c, client, services) {
		group, err := p.NewRESTStorage(c.APIs, c.Getter)
		if err != nil {
			installed.Stop()
			return nil, fmt.Errorf("make the storages of group %q: %w", p.GroupName(), err)
		}
		maker.use(group)
		for _, gv := range group.PrioritizedVersions {
			storages := group.VersionedResourcesStorageMap[gv.Version]
			for path, storage := range storages {
				installed.storages = append(installed.storages, storage)
				row, err := maker.row(gv, path, storages)
				if err != nil {
					installed.Stop()
					return nil, fmt.Errorf("%s %s: %w", gv, path, err)
				}
				rows = append(rows, row)
			}
		}
	}
	if err := table.Add(rows...); err != nil {
		installed.Stop()
		return nil, err
	}
	return installed, nil
}

// Stop ends what the storages and allocators run in the background.
func (i *Installed) Stop() {
	i.stop.Do(func() {
		i.services.stop()
		for _, storage := range i.storages {
			storage.Destroy()
		}
	})
}

// negotiatedSerializer is upstream's: JSON, YAML and protobuf with collections
// encoded item by item, and CBOR behind its feature gate.
func negotiatedSerializer(scheme *runtime.Scheme) runtime.NegotiatedSerializer {
	options := []serializer.CodecFactoryOptionsMutator{
		serializer.WithStreamingCollectionEncodingToJSON(),
		serializer.WithStreamingCollectionEncodingToProtobuf(),
	}
	if utilfeature.DefaultFeatureGate.Enabled(features.CBORServingAndStorage) {
		options = append(options, serializer.WithSerializer(cbor.NewSerializerInfo))
	}
	return serializer.NewCodecFactory(scheme, options...)
}
