package device

import (
	"context"
	"fmt"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	resourceinformers "k8s.io/client-go/informers/resource/v1"
	resourcelisters "k8s.io/client-go/listers/resource/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/dynamic-resource-allocation/resourceslice/tracker"
)

// Track follows ResourceSlices and the DeviceTaintRules that apply to them. The
// tracker is to be stopped when it isn't needed any more.
func Track(factory informers.SharedInformerFactory) (*tracker.Tracker, error) {
	api := factory.Resource().V1()
	t, err := tracker.StartTracker(context.Background(), tracker.Options{
		EnableDeviceTaintRules: true, EnableConsumableCapacity: true, SliceInformer: sharedSlices{api.ResourceSlices()}, TaintInformer: api.DeviceTaintRules(),
	})
	if err != nil {
		return nil, fmt.Errorf("follow ResourceSlices: %w", err)
	}
	return t, nil
}

// sharedSlices lets trackers come one after the other on one informer: the index
// that the first one made is the next one's too.
type sharedSlices struct {
	resourceinformers.TypedResourceSliceInformer
}

func (s sharedSlices) TypedInformer() resourceinformers.ResourceSliceIndexInformer {
	return indexedSlices{s.TypedResourceSliceInformer.TypedInformer()}
}

type indexedSlices struct {
	resourceinformers.ResourceSliceIndexInformer
}

func (s indexedSlices) AddTypedIndexers(wanted cache.TypedIndexers[*resourceapi.ResourceSlice]) error {
	there := s.GetIndexer().GetIndexers()
	missing := cache.TypedIndexers[*resourceapi.ResourceSlice]{}
	for name, index := range wanted {
		if there[name] == nil {
			missing[name] = index
		}
	}
	return s.ResourceSliceIndexInformer.AddTypedIndexers(missing)
}

// classes are DeviceClasses as the allocator looks them up.
type classes struct {
	lister resourcelisters.DeviceClassLister
}

func (c classes) List() ([]*resourceapi.DeviceClass, error) {
	return c.lister.List(labels.Everything())
}

func (c classes) Get(name string) (*resourceapi.DeviceClass, error) { return c.lister.Get(name) }
