package fieldset

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/howdah/howdah/server/builtin/schemas"
)

func benchPod() *corev1.Pod {
	var env []corev1.EnvVar
	for _, name := range []string{"A", "B", "C", "D", "E", "F", "G", "H"} {
		env = append(env, corev1.EnvVar{Name: name, Value: "v"})
	}
	seconds, no := int64(300), false
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-7d9c6b8f5d-abcde", Labels: map[string]string{"app": "web", "pod-template-hash": "7d9c6b8f5d"}, Annotations: map[string]string{"prometheus.io/scrape": "true"}},
		Spec: corev1.PodSpec{
			EnableServiceLinks: &no, RestartPolicy: "Always", TerminationGracePeriodSeconds: &seconds, DNSPolicy: "ClusterFirst", SecurityContext: &corev1.PodSecurityContext{}, SchedulerName: "default-scheduler",
			Containers: []corev1.Container{{
				Name: "web", Image: "registry.example/web:1.2.3", Env: env, TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: "File", ImagePullPolicy: "IfNotPresent",
				Ports:          []corev1.ContainerPort{{ContainerPort: 8080, Protocol: "TCP"}},
				Resources:      corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": apiresource.MustParse("100m"), "memory": apiresource.MustParse("128Mi")}},
				ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}}},
				VolumeMounts:   []corev1.VolumeMount{{Name: "config", MountPath: "/etc/config"}},
			}},
			Volumes:     []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}}}},
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &seconds}},
		},
	}
}

// BenchmarkCreated compares our way with upstream's.
func BenchmarkCreated(b *testing.B) {
	tr := tracker(b, schemas.NewConverter(), corev1.SchemeGroupVersion.WithKind("Pod"), "", nil, nil)
	pod, empty := benchPod(), &corev1.Pod{}
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			pod.ManagedFields = nil
			if !tr.track(empty, pod, "m") {
				b.Fatal("not covered")
			}
		}
	})
	b.Run("upstream's", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			pod.ManagedFields = nil
			tr.options.Upstream.UpdateNoErrors(empty, pod, "m")
		}
	})
}

// BenchmarkChanged updates a status field, again and again.
func BenchmarkChanged(b *testing.B) {
	tr := tracker(b, schemas.NewConverter(), corev1.SchemeGroupVersion.WithKind("Pod"), "", nil, nil)
	live := benchPod()
	tr.Track(&corev1.Pod{}, live, "m")
	live.UID = "u"
	next := live.DeepCopy()
	next.Status.PodIP = "10.0.0.1"
	tr.Track(live, next, "kubelet")
	live, next = next, next.DeepCopy()
	next.Status.PodIP = "10.0.0.2"
	entries := next.ManagedFields
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			next.ManagedFields = entries
			if !tr.track(live, next, "kubelet") {
				b.Fatal("not covered")
			}
		}
	})
	b.Run("upstream's", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			next.ManagedFields = entries
			tr.options.Upstream.UpdateNoErrors(live, next, "kubelet")
		}
	})
}
