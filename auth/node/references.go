package node

import (
	"bytes"
	"iter"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/storage/ephemeral"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"

	"github.com/howdah/howdah/storage"
)

// A reference is from a pod to an object of its namespace.
type reference struct {
	kind Kind
	name string
}

// referencesKey is what the references of a pod are kept as with its version.
type referencesKey struct{}

// references of a pod. One that can't be read has none.
func (c *Cached) references(pod *storage.Object) iter.Seq[reference] {
	list, _ := c.Store.Encoding(pod, referencesKey{}, func() ([]byte, error) { return listReferences(pod.Body()) })
	return func(yield func(reference) bool) {
		for len(list) > 0 {
			entry, rest, _ := bytes.Cut(list, []byte{0})
			if !yield(reference{Kind(entry[0]), string(entry[1:])}) {
				return
			}
			list = rest
		}
	}
}

// listReferences is a kind, a name and a zero byte for each.
func listReferences(body []byte) ([]byte, error) {
	var pod corev1.Pod
	if err := pod.Unmarshal(body); err != nil {
		return nil, err
	}
	var list []byte
	add := func(kind Kind, name string) {
		if name != "" {
			list = append(append(append(list, byte(kind)), name...), 0)
		}
	}
	visit := func(kind Kind) podutil.Visitor {
		return func(name string) bool {
			add(kind, name)
			return true
		}
	}
	// The node makes mirror pods itself: they must not open anything to it.
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return nil, nil
	}
	add(ServiceAccount, pod.Spec.ServiceAccountName)
	podutil.VisitPodSecretNames(&pod, visit(Secret))
	podutil.VisitPodConfigmapNames(&pod, visit(ConfigMap))
	for i := range pod.Spec.Volumes {
		switch v := &pod.Spec.Volumes[i]; {
		case v.PersistentVolumeClaim != nil:
			add(VolumeClaim, v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			add(VolumeClaim, ephemeral.VolumeClaimName(&pod, v))
		}
	}
	for name := range resourceclaim.PodClaims(&pod) {
		add(ResourceClaim, name)
	}
	return list, nil
}
