package state

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// shape spells the parts of a spec by which a single node accepts, refuses or
// scores the pod.
func shape(pod *corev1.Pod) string {
	spec := corev1.PodSpec{
		NodeName:      pod.Spec.NodeName,
		NodeSelector:  pod.Spec.NodeSelector,
		Tolerations:   pod.Spec.Tolerations,
		Overhead:      pod.Spec.Overhead,
		Resources:     pod.Spec.Resources,
		SchedulerName: pod.Spec.SchedulerName,
		OS:            pod.Spec.OS,
		HostNetwork:   pod.Spec.HostNetwork,
		HostUsers:     pod.Spec.HostUsers,
	}
	if affinity := pod.Spec.Affinity; affinity != nil && affinity.NodeAffinity != nil {
		spec.Affinity = &corev1.Affinity{NodeAffinity: affinity.NodeAffinity}
	}
	bare := func(containers []corev1.Container) []corev1.Container {
		out := make([]corev1.Container, len(containers))
		for i := range containers {
			c := &containers[i]
			out[i] = corev1.Container{Image: c.Image, Resources: c.Resources, RestartPolicy: c.RestartPolicy, RestartPolicyRules: c.RestartPolicyRules}
			for _, port := range c.Ports {
				if port.HostPort > 0 {
					out[i].Ports = append(out[i].Ports, port)
				}
			}
		}
		return out
	}
	spec.InitContainers, spec.Containers = bare(pod.Spec.InitContainers), bare(pod.Spec.Containers)
	for i := range pod.Spec.Volumes {
		if image := pod.Spec.Volumes[i].Image; image != nil {
			spec.Volumes = append(spec.Volumes, corev1.Volume{VolumeSource: corev1.VolumeSource{Image: image}})
		}
	}
	key := encode(&spec)
	if len(pod.Status.ContainerStatuses) > 0 || pod.Status.Resources != nil {
		// Never so before a pod is bound; then it shares with nobody.
		key += "\x00" + string(pod.UID)
	}
	return key
}

// kin spells what other pods, and spreading among them, see of a pod.
func kin(pod *corev1.Pod) string {
	spec := corev1.PodSpec{
		TopologySpreadConstraints: pod.Spec.TopologySpreadConstraints,
		NodeSelector:              pod.Spec.NodeSelector,
		Tolerations:               pod.Spec.Tolerations,
		Affinity:                  pod.Spec.Affinity,
		SchedulerName:             pod.Spec.SchedulerName,
	}
	var b strings.Builder
	b.WriteString(encode(&spec))
	b.WriteByte(0)
	b.WriteString(pod.Namespace)
	keys := make([]string, 0, len(pod.Labels))
	for key := range pod.Labels {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		b.WriteByte(0)
		b.WriteString(key)
		b.WriteByte('=')
		b.WriteString(pod.Labels[key])
	}
	if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
		b.WriteByte(1)
		b.WriteString(owner.APIVersion + "/" + owner.Kind + "/" + owner.Name)
	}
	return b.String()
}

// encode is protobuf, whose maps Kubernetes' types write in order.
func encode(spec *corev1.PodSpec) string {
	data, err := spec.Marshal()
	if err != nil {
		return spec.String() // an invalid string; as good a name as any
	}
	return string(data)
}
