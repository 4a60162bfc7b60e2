// Package claim owns what controllers of storage have in common: which pods use
// a PersistentVolumeClaim, and which CSI driver took an in-tree volume over.
package claim

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-helpers/storage/ephemeral"

	"github.com/howdah/howdah/controllers/owned"
)

// byClaim is the index of pods by the claims that they name.
const byClaim = "howdah.claim"

// Names are the claims that a pod names, those of its ephemeral volumes among
// them, whether they exist or not.
func Names(pod *corev1.Pod) []string {
	var names []string
	for i := range pod.Spec.Volumes {
		switch volume := &pod.Spec.Volumes[i]; {
		case volume.PersistentVolumeClaim != nil:
			names = append(names, volume.PersistentVolumeClaim.ClaimName)
		case volume.Ephemeral != nil:
			names = append(names, ephemeral.VolumeClaimName(pod, volume))
		}
	}
	return names
}

// Index makes the informer of pods find them by claims.
func Index(pods cache.SharedIndexInformer) error {
	return owned.AddIndex(pods, byClaim, func(object any) ([]string, error) {
		pod, ok := object.(*corev1.Pod)
		if !ok {
			return nil, nil
		}
		names := Names(pod)
		for i, name := range names {
			names[i] = pod.Namespace + "/" + name
		}
		return names, nil
	})
}

// Pods are those that name the claim, by an informer that has Index.
func Pods(pods cache.SharedIndexInformer, claim cache.ObjectName) ([]*corev1.Pod, error) {
	return owned.Indexed[*corev1.Pod](pods, byClaim, claim.String())
}
