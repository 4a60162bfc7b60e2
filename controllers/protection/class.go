package protection

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/howdah/howdah/controllers/owned"
	"github.com/howdah/howdah/controllers/reconcile"
)

// byAttributes is the index of volumes and claims by VolumeAttributesClasses.
const byAttributes = "howdah.volumeAttributesClass"

// VolumeAttributesClasses is the volumeattributesclass-protection-controller.
func VolumeAttributesClasses(c *reconcile.Controller) error {
	classes := c.Informers.Storage().V1().VolumeAttributesClasses()
	volumes, claims := c.Informers.Core().V1().PersistentVolumes().Informer(), c.Informers.Core().V1().PersistentVolumeClaims().Informer()
	if err := errors.Join(
		owned.AddIndex(volumes, byAttributes, func(object any) ([]string, error) { return ofVolume(object.(*corev1.PersistentVolume)), nil }),
		owned.AddIndex(claims, byAttributes, func(object any) ([]string, error) { return ofClaim(object.(*corev1.PersistentVolumeClaim)), nil }),
	); err != nil {
		return err
	}
	g := &guard[*storagev1.VolumeAttributesClass]{
		finalizer: "kubernetes.io/vac-protection",
		get: func(name cache.ObjectName) (*storagev1.VolumeAttributesClass, error) {
			return classes.Lister().Get(name.Name)
		},
		update: func(ctx context.Context, class *storagev1.VolumeAttributesClass) error {
			_, err := c.Client.StorageV1().VolumeAttributesClasses().Update(ctx, class, metav1.UpdateOptions{})
			return err
		},
		used: func(_ context.Context, class *storagev1.VolumeAttributesClass) (bool, error) {
			have, errVolumes := owned.Indexed[*corev1.PersistentVolume](volumes, byAttributes, class.Name)
			want, errClaims := owned.Indexed[*corev1.PersistentVolumeClaim](claims, byAttributes, class.Name)
			return len(have)+len(want) > 0, errors.Join(errVolumes, errClaims)
		},
	}
	g.queue = reconcile.NewQueue(c, "vacprotection", 1, g.sync)
	free := func(names []string) {
		for _, name := range names {
			g.queue.Add(cache.ObjectName{Name: name})
		}
	}
	return errors.Join(
		c.Handle(classes.Informer(), reconcile.Events[*storagev1.VolumeAttributesClass]{Add: g.see, Update: func(_, class *storagev1.VolumeAttributesClass) { g.see(class) }}),
		c.Handle(volumes, reconcile.Events[*corev1.PersistentVolume]{
			Update: func(before, _ *corev1.PersistentVolume) { free(ofVolume(before)) },
			Delete: func(volume *corev1.PersistentVolume) { free(ofVolume(volume)) },
		}),
		c.Handle(claims, reconcile.Events[*corev1.PersistentVolumeClaim]{
			Update: func(before, _ *corev1.PersistentVolumeClaim) { free(ofClaim(before)) },
			Delete: func(claim *corev1.PersistentVolumeClaim) { free(ofClaim(claim)) },
		}),
	)
}

func ofVolume(volume *corev1.PersistentVolume) []string {
	return nonEmpty(ptr.Deref(volume.Spec.VolumeAttributesClassName, ""))
}

// ofClaim are the classes that a claim wants, has and is on its way to.
func ofClaim(claim *corev1.PersistentVolumeClaim) []string {
	target := ""
	if modify := claim.Status.ModifyVolumeStatus; modify != nil {
		target = modify.TargetVolumeAttributesClassName
	}
	return nonEmpty(ptr.Deref(claim.Spec.VolumeAttributesClassName, ""), ptr.Deref(claim.Status.CurrentVolumeAttributesClassName, ""), target)
}

func nonEmpty(names ...string) []string {
	var out []string
	for _, name := range names {
		if name != "" {
			out = append(out, name)
		}
	}
	return out
}
