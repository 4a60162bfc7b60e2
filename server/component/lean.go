package component

import (
	"unique"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
)

// lean leaves out of an informer's object what no component reads, since an
// informer keeps every object decoded: managedFields, and what only the kubelet
// needs to run a pod that has its node. Pods that wait for a node stay whole, for
// the scheduler's extenders. Whoever writes a whole pod back must read it from
// the API first.
func lean(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil && accessor.GetManagedFields() != nil {
		accessor.SetManagedFields(nil)
	}
	if pod, ok := object.(*corev1.Pod); ok && pod.Spec.NodeName != "" {
		leanPod(pod)
	}
	return object, nil
}

func leanPod(pod *corev1.Pod) {
	pod.Labels = shareAll(pod.Labels)
	for i := range pod.OwnerReferences {
		owner := &pod.OwnerReferences[i]
		share(&owner.APIVersion, &owner.Kind, &owner.Name)
	}
	spec := &pod.Spec
	share(&pod.Namespace, &spec.NodeName, &spec.SchedulerName, &spec.ServiceAccountName, &spec.PriorityClassName)
	spec.DeprecatedServiceAccount = ""
	spec.SecurityContext, spec.ImagePullSecrets, spec.HostAliases, spec.DNSConfig = nil, nil, nil, nil
	spec.Volumes = keptVolumes(spec.Volumes)
	leanContainers(spec.InitContainers)
	leanContainers(spec.Containers)
	for i := range spec.Tolerations {
		share(&spec.Tolerations[i].Key)
	}
}

func leanContainers(containers []corev1.Container) {
	for i := range containers {
		c := &containers[i]
		share(&c.Name, &c.Image)
		containers[i] = corev1.Container{
			Name: c.Name, Image: c.Image, Ports: c.Ports, Resources: c.Resources,
			ResizePolicy: c.ResizePolicy, RestartPolicy: c.RestartPolicy, RestartPolicyRules: c.RestartPolicyRules,
		}
	}
}

// keptVolumes are those that bear on where a pod may run or what it holds; the
// others only bring it files.
func keptVolumes(volumes []corev1.Volume) []corev1.Volume {
	var kept []corev1.Volume
	for i := range volumes {
		v := &volumes[i]
		if v.Projected == nil && v.ConfigMap == nil && v.Secret == nil && v.DownwardAPI == nil && v.EmptyDir == nil && v.HostPath == nil {
			kept = append(kept, *v)
		}
	}
	return kept
}

// share makes equal strings of many objects one.
func share(strings ...*string) {
	for _, s := range strings {
		*s = unique.Make(*s).Value()
	}
}

func shareAll(values map[string]string) map[string]string {
	shared := make(map[string]string, len(values))
	for key, value := range values {
		share(&key, &value)
		shared[key] = value
	}
	return shared
}
