// Package expansion tells whoever expands a volume that its claim asks for more
// (https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims).
// Volumes are expanded by their CSI driver's external-resizer; the plugin of
// kube-controller-manager that expands itself, FlexVolume, isn't here.
package expansion

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	translation "k8s.io/csi-translation-lib"

	claims "github.com/howdah/howdah/controllers/claim"
	"github.com/howdah/howdah/controllers/reconcile"
)

const (
	workers = 10
	// resizerKey is the annotation that names who resizes the volume of a claim.
	resizerKey = "volume.kubernetes.io/storage-resizer"
)

type controller struct {
	client kubernetes.Interface
	events record.EventRecorder
	claims corelisters.PersistentVolumeClaimLister
	queue  *reconcile.Queue[cache.ObjectName]
}

// Setup is the persistentvolume-expander-controller.
func Setup(c *reconcile.Controller) error {
	informer := c.Informers.Core().V1().PersistentVolumeClaims()
	x := &controller{client: c.Client, events: c.Recorder("volume_expand"), claims: informer.Lister()}
	x.queue = reconcile.NewQueue(c, "volume_expand", workers, x.sync)
	return c.Handle(informer.Informer(), reconcile.Events[*corev1.PersistentVolumeClaim]{
		Add: x.enqueue,
		Update: func(before, claim *corev1.PersistentVolumeClaim) {
			if before.Spec.Resources.Requests.Storage().Cmp(*claim.Spec.Resources.Requests.Storage()) < 0 ||
				before.Status.Capacity.Storage().Cmp(*claim.Status.Capacity.Storage()) < 0 {
				x.enqueue(claim)
			}
		},
	})
}

func (x *controller) enqueue(claim *corev1.PersistentVolumeClaim) {
	if claim.Status.Phase == corev1.ClaimBound && wantsMore(claim) {
		x.queue.Add(cache.MetaObjectToName(claim))
	}
}

func wantsMore(claim *corev1.PersistentVolumeClaim) bool {
	return claim.Spec.Resources.Requests.Storage().Cmp(*claim.Status.Capacity.Storage()) > 0
}

func (x *controller) sync(ctx context.Context, name cache.ObjectName) error {
	claim, err := x.claims.PersistentVolumeClaims(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || !wantsMore(claim) {
		return err
	}
	volume, err := x.client.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("failed to get PV %q: %w", claim.Spec.VolumeName, err)
	}
	if ref := volume.Spec.ClaimRef; ref == nil || ref.Namespace != claim.Namespace || ref.UID != claim.UID {
		return fmt.Errorf("persistent Volume is not bound to PVC being updated : %s", name)
	}
	plugin, driver := migrated(volume)
	if driver == "" {
		x.events.Event(claim, corev1.EventTypeNormal, "ExternalExpanding", "waiting for an external controller to expand this PVC")
		return nil
	}
	x.events.Event(claim, corev1.EventTypeNormal, "ExternalExpanding", fmt.Sprintf("CSI migration enabled for %s; waiting for external resizer to expand the pvc", plugin))
	if claim.Annotations[resizerKey] == driver {
		return nil
	}
	changed := claim.DeepCopy()
	metav1.SetMetaDataAnnotation(&changed.ObjectMeta, resizerKey, driver)
	if _, err := x.client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{}); err != nil {
		err = fmt.Errorf("error setting resizer annotation to pvc %s, with error %w", name, err)
		x.events.Event(claim, corev1.EventTypeWarning, "ExternalExpanding", err.Error())
		return err
	}
	return nil
}

// migrated is the in-tree plugin of a volume and the CSI driver that took it over.
func migrated(volume *corev1.PersistentVolume) (plugin, driver string) {
	plugin, err := translation.New().GetInTreePluginNameFromSpec(volume, nil)
	if err != nil {
		return "", ""
	}
	driver, _ = claims.Driver(plugin)
	return plugin, driver
}
