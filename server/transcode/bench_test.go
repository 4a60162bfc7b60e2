package transcode

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// pod is an ordinary web server's as it is stored: with defaults, a status and
// managed fields.
func pod(b *testing.B) []byte {
	yes, seconds, mode, grace := true, int64(300), int32(420), int64(30)
	now := metav1.NewTime(time.Unix(1_800_000_000, 0))
	var env []corev1.EnvVar
	var fields strings.Builder
	for i := range 12 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", i), Value: strings.Repeat("v", 24)})
		fmt.Fprintf(&fields, `"k:{\"name\":\"SETTING_%d\"}":{".":{},"f:name":{},"f:value":{}},`, i)
	}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "bench-01", Name: "web-7d9c6b8f5d-00001", UID: "b9a8d4b0-1f5a-4b7e-9a56-0a3c5c8f2d11", ResourceVersion: "123456",
			CreationTimestamp: now, Generation: 1,
			Labels:      map[string]string{"app": "web-1", "pod-template-hash": "7d9c6b8f5d", "tier": "frontend", "bench": "howdah"},
			Annotations: map[string]string{"checksum/config": strings.Repeat("a", 64), "prometheus.io/scrape": "true"},
			ManagedFields: []metav1.ManagedFieldsEntry{{
				Manager: "bench", Operation: "Update", APIVersion: "v1", Time: &now, FieldsType: "FieldsV1",
				FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:annotations":{".":{},"f:checksum/config":{},"f:prometheus.io/scrape":{}},"f:labels":{".":{},"f:app":{},"f:bench":{},"f:pod-template-hash":{},"f:tier":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:env":{` + fields.String() + `".":{}},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"f:readinessProbe":{".":{},"f:failureThreshold":{},"f:periodSeconds":{},"f:successThreshold":{},"f:tcpSocket":{".":{},"f:port":{}},"f:timeoutSeconds":{}},"f:resources":{".":{},"f:requests":{".":{},"f:cpu":{},"f:memory":{}}}}},"f:dnsPolicy":{},"f:restartPolicy":{}}}`),
			}},
		},
		Spec: corev1.PodSpec{
			NodeName: "node-0001", RestartPolicy: "Always", DNSPolicy: "ClusterFirst", SchedulerName: "default-scheduler",
			TerminationGracePeriodSeconds: &grace, EnableServiceLinks: &yes, SecurityContext: &corev1.PodSecurityContext{},
			Containers: []corev1.Container{{
				Name: "web", Image: "registry.example/web:1.2.3", Env: env, ImagePullPolicy: "IfNotPresent",
				TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: "File",
				Ports: []corev1.ContainerPort{{ContainerPort: 8080, Protocol: "TCP"}},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi"),
				}},
				ReadinessProbe: &corev1.Probe{
					ProbeHandler:   corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}},
					TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3,
				},
				VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/config"}},
			}},
			Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "config"}, DefaultMode: &mode,
			}}}},
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &seconds}},
		},
		Status: corev1.PodStatus{Phase: "Pending", QOSClass: "Burstable"},
	}
	body, err := p.Marshal()
	if err != nil {
		b.Fatal(err)
	}
	return body
}

// BenchmarkPod's rate is that of the JSON written.
func BenchmarkPod(b *testing.B) {
	body := pod(b)
	b.Run("transcode", func(b *testing.B) {
		p, err := For(reflect.TypeFor[corev1.Pod]())
		if err != nil {
			b.Fatal(err)
		}
		if !check(b, p, body, "", "") {
			b.Fatal("it has to be decoded")
		}
		out, err := p.AppendJSON(nil, body, "", "")
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(out)))
		b.ReportAllocs()
		for b.Loop() {
			if out, err = p.AppendJSON(out[:0], body, "", ""); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(body)), "protobuf-B")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var decoded corev1.Pod
			if err := decoded.Unmarshal(body); err != nil {
				b.Fatal(err)
			}
			out, err := json.Marshal(&decoded)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(out)))
		}
	})
}
