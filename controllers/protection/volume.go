package protection

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/controllers/reconcile"
)

// Volumes is the persistentvolume-protection-controller.
func Volumes(c *reconcile.Controller) error {
	volumes := c.Informers.Core().V1().PersistentVolumes()
	g := &guard[*corev1.PersistentVolume]{
		finalizer: "kubernetes.io/pv-protection",
		get:       func(name cache.ObjectName) (*corev1.PersistentVolume, error) { return volumes.Lister().Get(name.Name) },
		update: func(ctx context.Context, volume *corev1.PersistentVolume) error {
			_, err := c.Client.CoreV1().PersistentVolumes().Update(ctx, volume, metav1.UpdateOptions{})
			return err
		},
		used: func(_ context.Context, volume *corev1.PersistentVolume) (bool, error) {
			return volume.Status.Phase == corev1.VolumeBound, nil
		},
	}
	g.queue = reconcile.NewQueue(c, "pvprotection", 1, g.sync)
	return c.Handle(volumes.Informer(), reconcile.Events[*corev1.PersistentVolume]{Add: g.see, Update: func(_, volume *corev1.PersistentVolume) { g.see(volume) }})
}
