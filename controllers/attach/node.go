package attach

import (
	"cmp"
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	translation "k8s.io/csi-translation-lib"

	"github.com/howdah/howdah/controllers/claim"
	"github.com/howdah/howdah/controllers/owned"
)

// syncNode writes which volumes are attached to a node into its status, and
// detaches those that were asked for and that it doesn't use.
func (x *controller) syncNode(ctx context.Context, name string) error {
	asked := x.ledger.asked(name)
	attached, err := x.attachedTo(name)
	if err != nil {
		return err
	}
	cached, err := x.nodes.Get(name)
	switch {
	case len(asked) > 0:
	case apierrors.IsNotFound(err):
		return x.forgetNode(name)
	case err != nil || slices.Equal(names(cached.Status.VolumesAttached), names(attached)):
		return err
	}
	node, err := x.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		node = nil
	} else if err != nil {
		return err
	}
	going := map[string]verdict{}
	var next time.Duration
	for volume, since := range asked {
		v := mayDetach(node, x.inUse(name, node, volume), x.clock.Since(since), x.patient)
		if v.allowed {
			going[volume] = v
		} else if v.wait > 0 && (next == 0 || v.wait < next) {
			next = v.wait
		}
	}
	if next > 0 {
		x.nodeQueue.AddAfter(name, next)
	}
	if node != nil {
		attached = slices.DeleteFunc(attached, func(a corev1.AttachedVolume) bool { _, goes := going[string(a.Name)]; return goes })
		if err := x.report(ctx, node, attached); err != nil {
			return err
		}
	}
	for volume, v := range going {
		if err := x.detach(ctx, name, volume); err != nil {
			return err
		}
		if v.forced != "" {
			forced.WithLabelValues(v.forced).Inc()
		}
	}
	return nil
}

// forgetNode drops what a node that is gone used last, once it has no volumes.
func (x *controller) forgetNode(name string) error {
	left, err := owned.Indexed[*storagev1.VolumeAttachment](x.attachments, byNode, name)
	if err == nil && len(left) == 0 && len(x.ledger.plainOf(name)) == 0 {
		x.ledger.forgetNode(name)
	}
	return err
}

// attachedTo are the volumes that a node may mount.
func (x *controller) attachedTo(node string) ([]corev1.AttachedVolume, error) {
	var attached []corev1.AttachedVolume
	for _, name := range x.ledger.plainOf(node) {
		attached = append(attached, corev1.AttachedVolume{Name: corev1.UniqueVolumeName(name)})
	}
	attachments, err := owned.Indexed[*storagev1.VolumeAttachment](x.attachments, byNode, node)
	for _, attachment := range attachments {
		if !attachment.Status.Attached || attachment.DeletionTimestamp != nil {
			continue
		}
		if name, ok := x.nameOf(attachment); ok {
			attached = append(attached, corev1.AttachedVolume{Name: corev1.UniqueVolumeName(name)})
		}
	}
	slices.SortFunc(attached, func(a, b corev1.AttachedVolume) int { return cmp.Compare(a.Name, b.Name) })
	return attached, err
}

// inUse is whether a kubelet says, or said last, that it uses a volume.
func (x *controller) inUse(name string, node *corev1.Node, volume string) bool {
	used := x.ledger.usedLast(name)
	if node != nil {
		used = node.Status.VolumesInUse
	}
	return slices.Contains(used, corev1.UniqueVolumeName(volume))
}

// report writes what is attached, unless the node's status has changed since it
// was read.
func (x *controller) report(ctx context.Context, node *corev1.Node, attached []corev1.AttachedVolume) error {
	if slices.Equal(names(node.Status.VolumesAttached), names(attached)) {
		return nil
	}
	node.Status.VolumesAttached = attached
	_, err := x.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// names are those of volumes, sorted.
func names(attached []corev1.AttachedVolume) []corev1.UniqueVolumeName {
	out := make([]corev1.UniqueVolumeName, 0, len(attached))
	for _, a := range attached {
		out = append(out, a.Name)
	}
	slices.Sort(out)
	return out
}

// detach begins to detach a volume. That it is under way, and when it is done,
// the attachment's events tell.
func (x *controller) detach(ctx context.Context, node, volume string) error {
	if driver, handle, ok := parseCSI(volume); ok {
		name := attachmentName(driver, handle, node)
		x.operations.Ended(name) // it may still be attaching
		x.operations.Begin(name, claim.Operation{Plugin: plugin(volume), Name: detaching, Migrated: x.migrated(name)})
		err := x.client.StorageV1().VolumeAttachments().Delete(ctx, name, metav1.DeleteOptions{})
		if err != nil {
			x.operations.Ended(name)
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	} else {
		x.ledger.setPlain(node, volume, false)
		x.volumeQueue.Add(volume)
	}
	x.ledger.withdraw(node, volume)
	return nil
}

// migrated is whether an attachment is of a volume that an in-tree plugin attached
// once.
func (x *controller) migrated(attachment string) bool {
	cached, ok, err := x.attachments.GetStore().GetByKey(attachment)
	if err != nil || !ok {
		return false
	}
	found, ok := cached.(*storagev1.VolumeAttachment)
	if !ok {
		return false
	}
	source := found.Spec.Source
	if source.PersistentVolumeName == nil {
		return source.InlineVolumeSpec != nil
	}
	pv, err := x.volumes.Get(*source.PersistentVolumeName)
	return err == nil && translation.New().IsPVMigratable(pv)
}
