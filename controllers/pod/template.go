package pod

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/utils/dump"
)

// New makes a pod of a template for an owner, with a generated name. It shares
// nothing with the template.
func New(template *corev1.PodTemplateSpec, owner string, ref *metav1.OwnerReference) *corev1.Pod {
	prefix := owner + "-"
	if len(apivalidation.NameIsDNSSubdomain(prefix, true)) > 0 {
		prefix = owner
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName:    prefix,
			Labels:          maps.Clone(template.Labels),
			Annotations:     maps.Clone(template.Annotations),
			Finalizers:      slices.Clone(template.Finalizers),
			OwnerReferences: []metav1.OwnerReference{*ref},
		},
		Spec: *template.Spec.DeepCopy(),
	}
}

// Hash is the short hash of a template that names ReplicaSets and revisions.
// collisions makes another one of the same template. It equals upstream's, so
// that names stay when a cluster moves.
func Hash(template *corev1.PodTemplateSpec, collisions *int32) string {
	hash := fnv.New32a()
	fmt.Fprintf(hash, "%v", dump.ForHash(*template))
	if collisions != nil {
		hash.Write(binary.LittleEndian.AppendUint32(nil, uint32(*collisions)))
		hash.Write(make([]byte, 4)) // upstream's buffer is twice as long
	}
	return rand.SafeEncodeString(fmt.Sprint(hash.Sum32()))
}
