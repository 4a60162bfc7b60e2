package component

import (
	"sync"
	"unique"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
)

// A leaner makes the objects of informers lean. It knows the containers of pods
// that it has seen, since what is kept of them is the same in all replicas of a
// template: those have them together.
type leaner struct {
	mu         sync.Mutex
	containers map[string][]corev1.Container // by their encoding
}

// lean leaves out of an informer's object what no component reads, since an
// informer keeps every object decoded: managedFields, and what only the kubelet
// needs to run a pod that has its node. Pods that wait for a node stay whole, for
// the scheduler's extenders. Whoever writes a whole pod back must read it from
// the API first.
func (l *leaner) lean(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil && accessor.GetManagedFields() != nil {
		accessor.SetManagedFields(nil)
	}
	if pod, ok := object.(*corev1.Pod); ok && pod.Spec.NodeName != "" {
		l.pod(pod)
	}
	return object, nil
}

func (l *leaner) pod(pod *corev1.Pod) {
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
	spec.InitContainers, spec.Containers = l.shared(spec.InitContainers), l.shared(spec.Containers)
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

// shared are equal containers that were seen before, or these from now on.
func (l *leaner) shared(containers []corev1.Container) []corev1.Container {
	if len(containers) == 0 {
		return containers
	}
	encoded, err := (&corev1.PodSpec{Containers: containers}).Marshal()
	if err != nil {
		return containers
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.containers[string(encoded)]; ok {
		return known
	}
	const templates = 4096 // no more are known; what they take is little
	if l.containers == nil || len(l.containers) == templates {
		l.containers = map[string][]corev1.Container{}
	}
	l.containers[string(encoded)] = containers
	return containers
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
