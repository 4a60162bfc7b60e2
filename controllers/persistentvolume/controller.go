// Package persistentvolume binds PersistentVolumeClaims to PersistentVolumes, asks
// for the volumes that are missing, and reclaims those whose claim is gone
// (https://kubernetes.io/docs/concepts/storage/persistent-volumes/).
//
// A binding is two references, volume to claim and claim to volume, written one
// after the other with the version that each object must have. The volume's comes
// first and names the claim by UID, so two claims can't get one volume, and a
// binding that was interrupted is found and finished by whoever looks next.
//
// Volumes are made and deleted by CSI drivers. What kube-controller-manager does
// to volumes by plugins of its own, which are hostPath and NFS, isn't done here:
// such a volume with policy Delete or Recycle becomes Failed with an event.
package persistentvolume

import (
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/client-go/kubernetes"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	volumehelpers "k8s.io/component-helpers/storage/volume"

	"github.com/howdah/howdah/controllers/claim"
	"github.com/howdah/howdah/controllers/owned"
	"github.com/howdah/howdah/controllers/reconcile"
)

const (
	workers = 5 // of claims, and as many of volumes
	// gather is how long new volumes are gathered before the claims that wait
	// for their class are looked at.
	gather = 100 * time.Millisecond
)

// Options say how claims get volumes.
type Options struct {
	// Resync is the pause between looks at what isn't settled.
	Resync time.Duration
	// Provision lets StorageClasses ask for volumes.
	Provision bool
}

type controller struct {
	client    kubernetes.Interface
	events    record.EventRecorder
	classes   storagelisters.StorageClassLister
	pods      cache.SharedIndexInformer
	provision bool

	claimInformer, volumeInformer cache.SharedIndexInformer

	operations *claim.Operations // by the UIDs of claims and volumes

	claims  *latest[*corev1.PersistentVolumeClaim]
	volumes *latest[*corev1.PersistentVolume]

	choosing    sync.Mutex // lets one claim choose at a time
	claimQueue  *reconcile.Queue[cache.ObjectName]
	volumeQueue *reconcile.Queue[string]
	wakeQueue   *reconcile.Queue[string] // of values of the index byWaiting
}

// Setup is the persistentvolume-binder-controller.
func Setup(o Options) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		core, classes := c.Informers.Core().V1(), c.Informers.Storage().V1().StorageClasses()
		x := &controller{
			client: c.Client, events: c.Recorder("persistentvolume-controller"), classes: classes.Lister(), provision: o.Provision,
			operations: claim.NewOperations(c.Clock),
			pods:       core.Pods().Informer(), claimInformer: core.PersistentVolumeClaims().Informer(), volumeInformer: core.PersistentVolumes().Informer(),
		}
		x.claims = newLatest[*corev1.PersistentVolumeClaim](x.claimInformer.GetStore())
		x.volumes = newLatest[*corev1.PersistentVolume](x.volumeInformer.GetStore())
		if err := errors.Join(claim.Index(x.pods), owned.AddIndex(x.claimInformer, byWaiting, waitingFor), owned.AddIndex(x.volumeInformer, byClass, classOf)); err != nil {
			return err
		}
		measure(c, x.volumeInformer.GetStore(), x.claimInformer.GetStore())
		x.claimQueue = reconcile.NewQueue(c, "claims", workers, x.syncClaim)
		x.volumeQueue = reconcile.NewQueue(c, "volumes", workers, x.syncVolume)
		x.wakeQueue = reconcile.NewQueue(c, "claims_waiting", 1, x.wake)
		c.Every(o.Resync, x.resync)
		return errors.Join(
			c.Handle(x.claimInformer, reconcile.Events[*corev1.PersistentVolumeClaim]{
				Add:    x.enqueueClaim,
				Update: func(_, claim *corev1.PersistentVolumeClaim) { x.enqueueClaim(claim) },
				Delete: func(claim *corev1.PersistentVolumeClaim) {
					x.operations.Ended(string(claim.UID)) // nobody waits for a volume any more
					if claim.Spec.VolumeName != "" {
						x.volumeQueue.Add(claim.Spec.VolumeName)
					}
				},
			}),
			c.Handle(x.volumeInformer, reconcile.Events[*corev1.PersistentVolume]{
				Add:    x.enqueueVolume,
				Update: func(_, volume *corev1.PersistentVolume) { x.enqueueVolume(volume) },
				Delete: func(volume *corev1.PersistentVolume) {
					x.ended(string(volume.UID), nil)
					if ref := volume.Spec.ClaimRef; ref != nil {
						x.claimQueue.Add(cache.ObjectName{Namespace: ref.Namespace, Name: ref.Name})
					}
				},
			}),
			c.Handle(classes.Informer(), reconcile.Events[*storagev1.StorageClass]{Add: x.seeClass, Update: func(_, class *storagev1.StorageClass) { x.seeClass(class) }}),
			c.Need(x.pods),
		)
	}
}

func (x *controller) enqueueClaim(claim *corev1.PersistentVolumeClaim) {
	x.claimQueue.Add(cache.MetaObjectToName(claim))
}

func (x *controller) enqueueVolume(volume *corev1.PersistentVolume) {
	x.volumeQueue.Add(volume.Name)
	if volume.Status.Phase == corev1.VolumeAvailable {
		x.wakeQueue.AddAfter(waitsForClass+volumehelpers.GetPersistentVolumeClass(volume), gather)
	}
	x.wakeQueue.Add(waitsForVolume + volume.Name)
}

// seeClass wakes the claims that name a class and, as it may be the default, those
// that name none.
func (x *controller) seeClass(class *storagev1.StorageClass) {
	x.wakeQueue.AddAfter(waitsForClass+class.Name, gather)
	x.wakeQueue.AddAfter(waitsForClass, gather)
}

// byWaiting is the index of claims that aren't bound by what they wait for.
const (
	byWaiting      = "howdah.waiting"
	waitsForClass  = "class/"
	waitsForVolume = "volume/"
)

func waitingFor(object any) ([]string, error) {
	claim, ok := object.(*corev1.PersistentVolumeClaim)
	switch {
	case !ok || claim.Status.Phase == corev1.ClaimBound:
		return nil, nil
	case claim.Spec.VolumeName != "":
		return []string{waitsForVolume + claim.Spec.VolumeName}, nil
	}
	return []string{waitsForClass + volumehelpers.GetPersistentVolumeClaimClass(claim)}, nil
}

func (x *controller) wake(_ context.Context, what string) error {
	waiting, err := owned.Indexed[*corev1.PersistentVolumeClaim](x.claimInformer, byWaiting, what)
	for _, claim := range waiting {
		x.enqueueClaim(claim)
	}
	return err
}

// resync looks again at what may have been waiting for something without an event.
func (x *controller) resync(context.Context) {
	for _, object := range x.claimInformer.GetStore().List() {
		if claim, ok := object.(*corev1.PersistentVolumeClaim); ok && claim.Status.Phase != corev1.ClaimBound {
			x.enqueueClaim(claim)
		}
	}
	for _, object := range x.volumeInformer.GetStore().List() {
		if volume, ok := object.(*corev1.PersistentVolume); ok && volume.Status.Phase != corev1.VolumeBound && volume.Status.Phase != corev1.VolumeAvailable {
			x.volumeQueue.Add(volume.Name)
		}
	}
}
