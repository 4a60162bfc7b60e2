// Package volume owns placement by volumes, with the results of kube-scheduler's
// plugins VolumeBinding, VolumeZone, VolumeRestrictions and NodeVolumeLimits
// (https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode).
//
// What a decision takes, a volume for a claim or the promise that one will be
// made for a node, is assumed at once and made real when the pod is bound. An
// assumption holds until the API's object changes.
package volume

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	volumehelpers "k8s.io/component-helpers/storage/volume"
	translation "k8s.io/csi-translation-lib"

	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
)

// Volumes are what is known of volumes, by informers and by assumption.
type Volumes struct {
	client      kubernetes.Interface
	pods        corelisters.PodLister
	nodes       corelisters.NodeLister
	claims      corelisters.PersistentVolumeClaimLister
	volumes     corelisters.PersistentVolumeLister
	classes     storagelisters.StorageClassLister
	csiNodes    storagelisters.CSINodeLister
	drivers     storagelisters.CSIDriverLister
	capacities  storagelisters.CSIStorageCapacityLister
	attachments storagelisters.VolumeAttachmentLister
	translator  translation.CSITranslator
	synced      []cache.InformerSynced

	mu             sync.Mutex
	assumedVolumes map[string]*corev1.PersistentVolume
	assumedClaims  map[string]*corev1.PersistentVolumeClaim // by namespace/name
}

// New asks the factory for informers; the caller starts them.
func New(factory informers.SharedInformerFactory, client kubernetes.Interface) *Volumes {
	core, storage := factory.Core().V1(), factory.Storage().V1()
	v := &Volumes{
		client: client, pods: core.Pods().Lister(), nodes: core.Nodes().Lister(), claims: core.PersistentVolumeClaims().Lister(),
		volumes: core.PersistentVolumes().Lister(), classes: storage.StorageClasses().Lister(), csiNodes: storage.CSINodes().Lister(),
		drivers: storage.CSIDrivers().Lister(), capacities: storage.CSIStorageCapacities().Lister(), attachments: storage.VolumeAttachments().Lister(),
		translator: translation.New(), assumedVolumes: map[string]*corev1.PersistentVolume{}, assumedClaims: map[string]*corev1.PersistentVolumeClaim{},
	}
	for _, informer := range []cache.SharedIndexInformer{
		core.PersistentVolumeClaims().Informer(), core.PersistentVolumes().Informer(), storage.StorageClasses().Informer(), storage.CSINodes().Informer(),
		storage.CSIDrivers().Informer(), storage.CSIStorageCapacities().Informer(), storage.VolumeAttachments().Informer(),
	} {
		v.synced = append(v.synced, informer.HasSynced)
	}
	return v
}

// Synced tell when the informers know all.
func (v *Volumes) Synced() []cache.InformerSynced { return v.synced }

// Args are VolumeBindingArgs.
type Args struct {
	BindTimeout time.Duration
	Shape       []placement.ShapePoint
}

// DefaultArgs are kube-scheduler's: bindings have ten minutes, and nodes with
// more room left are better.
func DefaultArgs() Args {
	return Args{BindTimeout: 10 * time.Minute, Shape: []placement.ShapePoint{{Utilization: 0, Score: 10}, {Utilization: 100, Score: 0}}}
}

// Plugins are the four plugins for one profile.
func (v *Volumes) Plugins(args Args) []placement.Plugin {
	return []placement.Plugin{&restrictions{v}, &limits{v, volumeIDPrefix()}, &binding{v, args}, &zone{v}}
}

func (v *Volumes) claim(namespace, name string) (*corev1.PersistentVolumeClaim, error) {
	api, err := v.claims.PersistentVolumeClaims(namespace).Get(name)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	key := namespace + "/" + name
	if assumed := v.assumedClaims[key]; assumed != nil {
		if assumed.ResourceVersion == api.ResourceVersion {
			return assumed, nil
		}
		delete(v.assumedClaims, key)
	}
	return api, nil
}

func (v *Volumes) volume(name string) (*corev1.PersistentVolume, error) {
	api, err := v.volumes.Get(name)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.present(api), nil
}

// present is the volume as it is assumed to be. The lock is held.
func (v *Volumes) present(api *corev1.PersistentVolume) *corev1.PersistentVolume {
	if assumed := v.assumedVolumes[api.Name]; assumed != nil {
		if assumed.ResourceVersion == api.ResourceVersion {
			return assumed
		}
		delete(v.assumedVolumes, api.Name)
	}
	return api
}

// ofClass are the volumes of a storage class.
func (v *Volumes) ofClass(class string) ([]*corev1.PersistentVolume, error) {
	all, err := v.volumes.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	var of []*corev1.PersistentVolume
	for _, volume := range all {
		if volumehelpers.GetPersistentVolumeClass(volume) == class {
			of = append(of, v.present(volume))
		}
	}
	return of, nil
}

func (v *Volumes) assume(volumes []*corev1.PersistentVolume, claims []*corev1.PersistentVolumeClaim) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, volume := range volumes {
		v.assumedVolumes[volume.Name] = volume
	}
	for _, claim := range claims {
		v.assumedClaims[claim.Namespace+"/"+claim.Name] = claim
	}
}

func (v *Volumes) forget(volumes []*corev1.PersistentVolume, claims []*corev1.PersistentVolumeClaim) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, volume := range volumes {
		if v.assumedVolumes[volume.Name] == volume {
			delete(v.assumedVolumes, volume.Name)
		}
	}
	for _, claim := range claims {
		if key := claim.Namespace + "/" + claim.Name; v.assumedClaims[key] == claim {
			delete(v.assumedClaims, key)
		}
	}
}

// csiNode is nil when nothing is known of the node's drivers.
func (v *Volumes) csiNode(name string) *storagev1.CSINode {
	node, err := v.csiNodes.Get(name)
	if err != nil {
		return nil
	}
	return node
}

// unscored is for plugins that only filter.
type unscored struct{}

func (unscored) Only() map[string]bool { return nil }

func (unscored) Score([]*state.Node) ([]int64, bool) { return nil, false }
