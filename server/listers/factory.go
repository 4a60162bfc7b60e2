package listers

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/informers/core"
	coreinformers "k8s.io/client-go/informers/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"

	"github.com/howdah/howdah/server/objects"
)

// NewFactory returns shared with the listers of this package in place of those
// of pods, services, volumes and claims. Who asks it for one of their informers
// gets shared's, decoded objects and all.
func NewFactory(shared informers.SharedInformerFactory, getter *objects.Getter) (informers.SharedInformerFactory, error) {
	f := &factory{SharedInformerFactory: shared}
	for resource, use := range map[string]func(*objects.Store){
		"pods":                   func(s *objects.Store) { f.pods = Pods(s) },
		"services":               func(s *objects.Store) { f.services = Services(s) },
		"persistentvolumes":      func(s *objects.Store) { f.volumes = PersistentVolumes(s) },
		"persistentvolumeclaims": func(s *objects.Store) { f.claims = PersistentVolumeClaims(s) },
	} {
		store := getter.Store(schema.GroupResource{Resource: resource})
		if store == nil {
			return nil, fmt.Errorf("%s are not served, so they can't be listed", resource)
		}
		use(store)
	}
	return f, nil
}

type factory struct {
	informers.SharedInformerFactory
	pods     corelisters.PodLister
	services corelisters.ServiceLister
	volumes  corelisters.PersistentVolumeLister
	claims   corelisters.PersistentVolumeClaimLister
}

func (f *factory) Core() core.Interface { return group{f.SharedInformerFactory.Core(), f} }

type group struct {
	core.Interface
	factory *factory
}

func (g group) V1() coreinformers.Interface { return version{g.Interface.V1(), g.factory} }

type version struct {
	coreinformers.Interface
	factory *factory
}

func (v version) Pods() coreinformers.TypedPodInformer {
	return pod{v.Interface.Pods(), v.factory.pods}
}

type pod struct {
	coreinformers.TypedPodInformer
	lister corelisters.PodLister
}

func (i pod) Lister() corelisters.PodLister { return i.lister }

func (v version) Services() coreinformers.TypedServiceInformer {
	return service{v.Interface.Services(), v.factory.services}
}

type service struct {
	coreinformers.TypedServiceInformer
	lister corelisters.ServiceLister
}

func (i service) Lister() corelisters.ServiceLister { return i.lister }

func (v version) PersistentVolumes() coreinformers.TypedPersistentVolumeInformer {
	return volume{v.Interface.PersistentVolumes(), v.factory.volumes}
}

type volume struct {
	coreinformers.TypedPersistentVolumeInformer
	lister corelisters.PersistentVolumeLister
}

func (i volume) Lister() corelisters.PersistentVolumeLister { return i.lister }

func (v version) PersistentVolumeClaims() coreinformers.TypedPersistentVolumeClaimInformer {
	return claim{v.Interface.PersistentVolumeClaims(), v.factory.claims}
}

type claim struct {
	coreinformers.TypedPersistentVolumeClaimInformer
	lister corelisters.PersistentVolumeClaimLister
}

func (i claim) Lister() corelisters.PersistentVolumeClaimLister { return i.lister }
