package main

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func (l load) namespace(i int) string { return fmt.Sprintf("bench-%02d", i%l.namespaces) }

func podName(i int) string { return fmt.Sprintf("web-7d9c6b8f5d-%05d", i) }

// pod is an ordinary web server's, about 3.3 KB in protobuf once it is stored.
func (l load) pod(i int) *corev1.Pod {
	var env []corev1.EnvVar
	for j := range 12 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", j), Value: strings.Repeat("v", 24)})
	}
	seconds := int64(300)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   l.namespace(i),
			Name:        podName(i),
			Labels:      map[string]string{"app": fmt.Sprintf("web-%d", i%100), "pod-template-hash": "7d9c6b8f5d", "tier": "frontend", "bench": "howdah"},
			Annotations: map[string]string{"checksum/config": strings.Repeat("a", 64), "prometheus.io/scrape": "true"},
		},
		Spec: corev1.PodSpec{
			NodeName: nodeName(i % max(l.nodes, 1)),
			Containers: []corev1.Container{{
				Name: "web", Image: "registry.example/web:1.2.3", Env: env,
				Ports: []corev1.ContainerPort{{ContainerPort: 8080, Protocol: "TCP"}},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi"),
				}},
				ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}}},
				VolumeMounts:   []corev1.VolumeMount{{Name: "config", MountPath: "/etc/config"}},
			}},
			Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "config"},
			}}}},
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &seconds}},
		},
	}
}

func nodeName(i int) string { return fmt.Sprintf("node-%04d", i) }

// node has room for 110 pods and twenty images, as kubelets report them.
func node(i int) *corev1.Node {
	room := corev1.ResourceList{
		"cpu": resource.MustParse("32"), "memory": resource.MustParse("128Gi"),
		"pods": resource.MustParse("110"), "ephemeral-storage": resource.MustParse("100Gi"),
	}
	var images []corev1.ContainerImage
	for j := range 20 {
		images = append(images, corev1.ContainerImage{Names: []string{fmt.Sprintf("registry.example/image-%d:1.0", j)}, SizeBytes: 100 << 20})
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:   nodeName(i),
			Labels: map[string]string{"kubernetes.io/hostname": nodeName(i), "topology.kubernetes.io/zone": fmt.Sprintf("zone-%d", i%3)},
		},
		Status: corev1.NodeStatus{
			Capacity: room, Allocatable: room, Images: images,
			Conditions: []corev1.NodeCondition{{Type: "Ready", Status: "True", LastHeartbeatTime: metav1.Now()}},
		},
	}
}
