package attach

import (
	"context"
	"errors"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/claim"
	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/owned"
	"github.com/howdah/howdah/controllers/pod"
	"github.com/howdah/howdah/controllers/reconcile"
)

const (
	workers = 5 // of volumes, and as many of nodes
	// recheck is how often volumes that nodes have are looked at without an event.
	recheck = time.Minute
	// managed is the annotation of nodes whose kubelet leaves attaching to us.
	managed = "volumes.kubernetes.io/controller-managed-attach-detach"
)

// Indexes of volumes and pods by the names of attachable volumes; for pods those
// that they bring themselves. Of VolumeAttachments by node and by source.
const (
	byVolume = "howdah.attachable"
	byNode   = "howdah.node"
	bySource = "howdah.source"
)

type controller struct {
	resolver
	client      kubernetes.Interface
	clock       clock.PassiveClock
	events      record.EventRecorder
	patient     bool
	nodes       corelisters.NodeLister
	podsOn      func(node string) []*corev1.Pod
	pods        cache.SharedIndexInformer
	pvs         cache.SharedIndexInformer
	attachments cache.SharedIndexInformer
	ledger      *ledger
	operations  *claim.Operations // by the names of attachments
	tracker     freshness.Tracker
	volumeQueue *reconcile.Queue[string]
	nodeQueue   *reconcile.Queue[string]
}

// Options say how volumes are detached.
type Options struct {
	// Patient waits for nodes that aren't ready for ever, unless they are marked
	// as out of service.
	Patient bool
}

// Setup is the persistentvolume-attach-detach-controller.
func Setup(o Options) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		core, storage := c.Informers.Core().V1(), c.Informers.Storage().V1()
		x := &controller{
			resolver: resolver{core.PersistentVolumeClaims().Lister(), core.PersistentVolumes().Lister(), storage.CSIDrivers().Lister()},
			client:   c.Client, clock: c.Clock, events: c.Recorder("attachdetach-controller"), patient: o.Patient, nodes: core.Nodes().Lister(),
			pods: core.Pods().Informer(), pvs: core.PersistentVolumes().Informer(), attachments: storage.VolumeAttachments().Informer(), ledger: newLedger(),
			operations: claim.NewOperations(c.Clock),
		}
		x.measure(c)
		var err error
		if x.podsOn, err = pod.ByNode(x.pods); err != nil {
			return err
		}
		if err := errors.Join(
			claim.Index(x.pods), owned.AddIndex(x.pods, byVolume, ofPod), owned.AddIndex(x.pvs, byVolume, ofVolume),
			owned.AddIndex(x.attachments, byNode, onNode), owned.AddIndex(x.attachments, bySource, ofSource),
		); err != nil {
			return err
		}
		x.volumeQueue = reconcile.NewQueue(c, "attachable_volumes", workers, x.syncVolume)
		x.nodeQueue = reconcile.NewQueue(c, "attaching_nodes", workers, x.syncNode)
		c.Every(recheck, func(context.Context) {
			for _, volume := range x.ledger.known() {
				x.volumeQueue.Add(volume)
			}
		})
		return errors.Join(
			c.Handle(x.pods, reconcile.Each(x.seePod)),
			c.Handle(core.PersistentVolumeClaims().Informer(), reconcile.Each(func(claim *corev1.PersistentVolumeClaim) {
				if pv, err := x.volumes.Get(claim.Spec.VolumeName); err == nil {
					x.seeVolume(pv)
				}
			})),
			c.Handle(x.pvs, reconcile.Each(x.seeVolume)),
			c.Handle(x.attachments, reconcile.Events[*storagev1.VolumeAttachment]{
				Add: x.seeAttachment,
				Update: func(before, attachment *storagev1.VolumeAttachment) {
					x.tellProgress(before, attachment)
					x.seeAttachment(attachment)
				},
				Delete: func(attachment *storagev1.VolumeAttachment) {
					x.ended(attachment.Name, succeeded)
					x.seeAttachment(attachment)
					x.ledger.forget(attachment.Name)
				},
			}),
			c.Handle(core.Nodes().Informer(), reconcile.Events[*corev1.Node]{Add: x.seeNode, Update: x.seeNodeChange, Delete: x.seeNodeEnd}),
			c.Need(storage.CSIDrivers().Informer()),
		)
	}
}

func ofPod(object any) ([]string, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return nil, nil
	}
	var names []string
	for i := range pod.Spec.Volumes {
		if v, err := inline(pod, &pod.Spec.Volumes[i]); err == nil && v != nil {
			names = append(names, v.name)
		}
	}
	return names, nil
}

func ofVolume(object any) ([]string, error) {
	if pv, ok := object.(*corev1.PersistentVolume); ok {
		if v := persistent(pv); v != nil {
			return []string{v.name}, nil
		}
	}
	return nil, nil
}

func onNode(object any) ([]string, error) {
	if attachment, ok := object.(*storagev1.VolumeAttachment); ok {
		return []string{attachment.Spec.NodeName}, nil
	}
	return nil, nil
}

// ofSource is the PersistentVolume of an attachment, or the volume's name.
func ofSource(object any) ([]string, error) {
	attachment, ok := object.(*storagev1.VolumeAttachment)
	if !ok {
		return nil, nil
	}
	switch source := attachment.Spec.Source; {
	case source.PersistentVolumeName != nil:
		return []string{*source.PersistentVolumeName}, nil
	case source.InlineVolumeSpec != nil && source.InlineVolumeSpec.CSI != nil:
		return []string{csiName(source.InlineVolumeSpec.CSI.Driver, source.InlineVolumeSpec.CSI.VolumeHandle)}, nil
	}
	return nil, nil
}

func (x *controller) seePod(pod *corev1.Pod) {
	if pod.Spec.NodeName == "" {
		return
	}
	for i := range pod.Spec.Volumes {
		if v, err := x.of(pod, &pod.Spec.Volumes[i]); err == nil && v != nil {
			x.volumeQueue.Add(v.name)
		}
	}
}

func (x *controller) seeVolume(pv *corev1.PersistentVolume) {
	if v := persistent(pv); v != nil {
		x.volumeQueue.Add(v.name)
	}
}

func (x *controller) seeAttachment(attachment *storagev1.VolumeAttachment) {
	if name, ok := x.nameOf(attachment); ok {
		x.volumeQueue.Add(name)
	}
	x.nodeQueue.Add(attachment.Spec.NodeName)
}

// nameOf is the volume of an attachment, if it is one of those made here.
func (x *controller) nameOf(attachment *storagev1.VolumeAttachment) (string, bool) {
	if name, ok := x.ledger.volumeOf(attachment.Name); ok {
		return name, true
	}
	sources, _ := ofSource(attachment)
	for _, name := range sources {
		if pv, err := x.volumes.Get(name); err == nil {
			if v := persistent(pv); v != nil {
				name = v.name
			}
		}
		if driver, handle, ok := parseCSI(name); ok && attachment.Name == attachmentName(driver, handle, attachment.Spec.NodeName) {
			return name, true
		}
	}
	return "", false
}

func (x *controller) seeNode(node *corev1.Node) {
	x.ledger.forgetNode(node.Name)
	for _, attached := range node.Status.VolumesAttached {
		name := string(attached.Name)
		if driver, handle, ok := parseCSI(name); ok {
			x.ledger.learn(attachmentName(driver, handle, node.Name), name)
		} else {
			x.ledger.setPlain(node.Name, name, true)
		}
		x.volumeQueue.Add(name)
	}
	x.seePodsOn(node.Name)
	x.nodeQueue.Add(node.Name)
}

func (x *controller) seePodsOn(node string) {
	for _, pod := range x.podsOn(node) {
		x.seePod(pod)
	}
}

func (x *controller) seeNodeChange(before, node *corev1.Node) {
	if before.UID != node.UID || isManaged(before) != isManaged(node) {
		x.seePodsOn(node.Name)
	}
	if !slices.Equal(before.Status.VolumesInUse, node.Status.VolumesInUse) || !slices.Equal(before.Status.VolumesAttached, node.Status.VolumesAttached) ||
		ready(before) != ready(node) || outOfService(before) != outOfService(node) {
		x.nodeQueue.Add(node.Name)
	}
}

func (x *controller) seeNodeEnd(node *corev1.Node) {
	x.ledger.nodeGone(node)
	for _, attached := range node.Status.VolumesAttached {
		x.volumeQueue.Add(string(attached.Name))
	}
	x.seePodsOn(node.Name)
	x.nodeQueue.Add(node.Name)
}

func isManaged(node *corev1.Node) bool {
	_, ok := node.Annotations[managed]
	return ok
}
