package attach

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/controllers/claim"
	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/owned"
)

// syncVolume attaches a volume where it is wanted and can be, and asks for it to
// be detached where it isn't wanted.
func (x *controller) syncVolume(ctx context.Context, name string) error {
	key := cache.ObjectName{Name: name}
	if !x.tracker.Fresh(key) {
		// Who holds the volume isn't known until the cache has our attachments.
		x.volumeQueue.AddAfter(name, freshness.Recheck)
		return nil
	}
	v, wanted, err := x.wanted(name)
	if err != nil {
		return err
	}
	held, err := x.held(name)
	if err != nil {
		return err
	}
	for node := range wanted {
		if _, has := held[node]; has && x.ledger.withdraw(node, name) {
			x.nodeQueue.Add(node)
		}
	}
	p := decide(wanted, held, v != nil && v.shared)
	for _, node := range p.detach {
		if attachment := held[node]; attachment != nil && attachment.DeletionTimestamp != nil {
			continue // under way
		}
		if x.ledger.ask(node, name, x.clock.Now()) {
			x.nodeQueue.Add(node)
		}
	}
	for _, node := range x.ledger.tell(name, p.blocked) {
		x.tellBlocked(v, wanted[node], wanted, held)
	}
	for _, node := range p.attach {
		if err := x.attach(ctx, key, v, node, wanted[node]); err != nil {
			return err
		}
	}
	return nil
}

// wanted are the pods that want a volume, by node, and what it is; nil if nobody
// does.
func (x *controller) wanted(name string) (*volume, map[string][]*corev1.Pod, error) {
	candidates, err := owned.Indexed[*corev1.Pod](x.pods, byVolume, name)
	if err != nil {
		return nil, nil, err
	}
	pvs, err := owned.Indexed[*corev1.PersistentVolume](x.pvs, byVolume, name)
	if err != nil {
		return nil, nil, err
	}
	for _, pv := range pvs {
		if ref := pv.Spec.ClaimRef; ref != nil {
			users, err := claim.Pods(x.pods, cache.ObjectName{Namespace: ref.Namespace, Name: ref.Name})
			if err != nil {
				return nil, nil, err
			}
			candidates = append(candidates, users...)
		}
	}
	var v *volume
	wanted := map[string][]*corev1.Pod{}
	for _, pod := range candidates {
		if pod.Spec.NodeName == "" || over(pod) {
			continue
		}
		if node, err := x.nodes.Get(pod.Spec.NodeName); err != nil || !isManaged(node) {
			continue
		}
		for i := range pod.Spec.Volumes {
			if found, err := x.of(pod, &pod.Spec.Volumes[i]); err == nil && found != nil && found.name == name {
				v = found
				wanted[pod.Spec.NodeName] = append(wanted[pod.Spec.NodeName], pod)
				break
			}
		}
	}
	return v, wanted, nil
}

// held are the nodes that have a volume, or may have it, and how.
func (x *controller) held(name string) (map[string]*storagev1.VolumeAttachment, error) {
	held := map[string]*storagev1.VolumeAttachment{}
	driver, handle, ok := parseCSI(name)
	if !ok {
		for _, node := range x.ledger.plainNodes(name) {
			held[node] = nil
		}
		return held, nil
	}
	pvs, err := owned.Indexed[*corev1.PersistentVolume](x.pvs, byVolume, name)
	if err != nil {
		return nil, err
	}
	sources := []string{name}
	for _, pv := range pvs {
		sources = append(sources, pv.Name)
	}
	for _, source := range sources {
		found, err := owned.Indexed[*storagev1.VolumeAttachment](x.attachments, bySource, source)
		if err != nil {
			return nil, err
		}
		for _, attachment := range found {
			if attachment.Name == attachmentName(driver, handle, attachment.Spec.NodeName) {
				held[attachment.Spec.NodeName] = attachment
				x.ledger.learn(attachment.Name, name)
			}
		}
	}
	for _, known := range x.ledger.attachmentsOf(name) {
		if cached, ok, err := x.attachments.GetStore().GetByKey(known); err == nil && ok {
			if attachment, ok := cached.(*storagev1.VolumeAttachment); ok {
				held[attachment.Spec.NodeName] = attachment
			}
		}
	}
	return held, nil
}

func (x *controller) attach(ctx context.Context, key cache.ObjectName, v *volume, node string, pods []*corev1.Pod) error {
	if v.csi == nil {
		x.ledger.setPlain(node, v.name, true)
		x.nodeQueue.Add(node)
		x.tellAttached(v.label, pods)
		return nil
	}
	attachment := &storagev1.VolumeAttachment{
		ObjectMeta: metav1.ObjectMeta{Name: attachmentName(v.csi.driver, v.csi.handle, node)},
		Spec:       storagev1.VolumeAttachmentSpec{NodeName: node, Attacher: v.csi.driver, Source: v.csi.source},
	}
	written, err := x.client.StorageV1().VolumeAttachments().Create(ctx, attachment, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		// One that the cache doesn't have yet: wait for it as for our own.
		written, err = x.client.StorageV1().VolumeAttachments().Get(ctx, attachment.Name, metav1.GetOptions{})
	}
	if err != nil {
		for _, pod := range pods {
			x.events.Eventf(pod, corev1.EventTypeWarning, "FailedAttachVolume", "AttachVolume.Attach failed for volume %q : attacher.Attach failed: %v", v.label, err)
		}
		return err
	}
	x.operations.Begin(written.Name, claim.Operation{Plugin: plugin(v.name), Name: attaching, Migrated: v.csi.migrated})
	x.ledger.learn(written.Name, v.name)
	x.tracker.Wrote(key, x.attachments.GetStore(), written)
	return nil
}

// tellProgress tells pods of what the driver says about their volume.
func (x *controller) tellProgress(before, attachment *storagev1.VolumeAttachment) {
	was, is := before.Status, attachment.Status
	attached, refused := is.Attached && !was.Attached, failedAgain(was.AttachError, is.AttachError)
	switch {
	case attached:
		x.ended(attachment.Name, succeeded)
	case refused || failedAgain(was.DetachError, is.DetachError):
		x.ended(attachment.Name, failed)
	}
	name, ok := x.nameOf(attachment)
	if !ok || !attached && !refused {
		return
	}
	v, wanted, err := x.wanted(name)
	if err != nil || v == nil {
		return
	}
	pods := wanted[attachment.Spec.NodeName]
	if attached {
		x.tellAttached(v.label, pods)
		return
	}
	for _, pod := range pods {
		x.events.Eventf(pod, corev1.EventTypeWarning, "FailedAttachVolume", "AttachVolume.Attach failed for volume %q : %s", v.label, is.AttachError.Message)
	}
}

// failedAgain is whether a driver tells of a failure that it didn't tell of before.
func failedAgain(was, is *storagev1.VolumeError) bool {
	return is != nil && (was == nil || was.Message != is.Message || !was.Time.Equal(&is.Time))
}

func (x *controller) tellAttached(label string, pods []*corev1.Pod) {
	for _, pod := range pods {
		x.events.Eventf(pod, corev1.EventTypeNormal, "SuccessfulAttachVolume", "AttachVolume.Attach succeeded for volume %q ", label)
	}
}

// tellBlocked tells pods which of the others has the volume that they wait for.
func (x *controller) tellBlocked(v *volume, waiting []*corev1.Pod, wanted map[string][]*corev1.Pod, held map[string]*storagev1.VolumeAttachment) {
	var users []*corev1.Pod
	for node := range held {
		users = append(users, wanted[node]...)
	}
	for _, pod := range waiting {
		x.events.Eventf(pod, corev1.EventTypeWarning, "FailedAttachVolume", "Waiting for detach for volume %q %s", v.label, usedBy(users, pod.Namespace))
	}
}

// usedBy names the pods that use a volume, as far as they are the reader's to know.
func usedBy(pods []*corev1.Pod, namespace string) string {
	var names []string
	elsewhere := 0
	for _, pod := range pods {
		if pod.Namespace == namespace {
			names = append(names, pod.Name)
		} else {
			elsewhere++
		}
	}
	switch {
	case len(pods) == 0:
		return "Volume is already exclusively attached to one node, waiting on detach before it can be attached to another node"
	case len(names) == 0:
		return fmt.Sprintf("Volume is already used by %d pod(s) in different namespaces", elsewhere)
	case elsewhere > 0:
		return fmt.Sprintf("Volume is already used by pod(s) %s and %d pod(s) in different namespaces", strings.Join(names, ", "), elsewhere)
	}
	return "Volume is already used by pod(s) " + strings.Join(names, ", ")
}
