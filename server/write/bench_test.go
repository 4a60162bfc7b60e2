package write

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
)

// The benchmarks send what the load of docs/performance.md sends, in protobuf,
// without a network or a database.

func benchPod(i int) *corev1.Pod {
	var env []corev1.EnvVar
	for j := range 12 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", j), Value: strings.Repeat("v", 24)})
	}
	seconds := int64(300)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:        fmt.Sprintf("web-7d9c6b8f5d-%05d", i),
			Labels:      map[string]string{"app": fmt.Sprintf("web-%d", i%100), "pod-template-hash": "7d9c6b8f5d", "tier": "frontend"},
			Annotations: map[string]string{"checksum/config": strings.Repeat("a", 64), "prometheus.io/scrape": "true"},
		},
		Spec: corev1.PodSpec{
			NodeName: fmt.Sprintf("node-%04d", i%1000),
			Containers: []corev1.Container{{
				Name: "web", Image: "registry.example/web:1.2.3", Env: env,
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

func encoded(b testing.TB, obj runtime.Object) []byte {
	gvks, _, err := scheme.Scheme.ObjectKinds(obj)
	if err != nil {
		b.Fatal(err)
	}
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	body, err := runtime.Encode(scheme.Codecs.EncoderForVersion(info.Serializer, gvks[0].GroupVersion()), obj)
	if err != nil {
		b.Fatal(err)
	}
	return body
}

// send does not return before the request is answered with a code below 300.
func (s *server) send(b *testing.B, method, url, contentType, agent string, body []byte) []byte {
	r := httptest.NewRequestWithContext(b.Context(), method, url, bytes.NewReader(body))
	r.Header.Set("User-Agent", agent)
	r.Header.Set("Accept", "application/vnd.kubernetes.protobuf,application/json")
	if len(body) > 0 {
		r.Header.Set("Content-Type", contentType)
	} else {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	w := httptest.NewRecorder()
	s.http.ServeHTTP(w, r)
	if w.Code >= 300 {
		b.Fatalf("%s %s: %d %s", method, url, w.Code, w.Body)
	}
	return w.Body.Bytes()
}

// bothWays runs a benchmark without admission and with kube-apiserver's default
// plugins, none of which has anything to do.
func bothWays(b *testing.B, run func(*testing.B, *server)) {
	b.Run("bare", func(b *testing.B) { run(b, newServerOn(b, newMemory(), Deps{})) })
	b.Run("admission", func(b *testing.B) { run(b, newGuardedServer(b)) })
}

func BenchmarkCreatePod(b *testing.B) { bothWays(b, benchmarkCreatePod) }

func benchmarkCreatePod(b *testing.B, s *server) {
	bodies := make([][]byte, b.N)
	for i := range bodies {
		bodies[i] = encoded(b, benchPod(i))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, body := range bodies {
		s.send(b, "POST", pods, runtime.ContentTypeProtobuf, "kbench-1", body)
	}
}

func BenchmarkPatchPodStatus(b *testing.B) { bothWays(b, benchmarkPatchPodStatus) }

func benchmarkPatchPodStatus(b *testing.B, s *server) {
	const many = 1000
	for i := range many {
		s.send(b, "POST", pods, runtime.ContentTypeProtobuf, "kbench-1", encoded(b, benchPod(i)))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		s.send(b, "PATCH", fmt.Sprintf("%s/web-7d9c6b8f5d-%05d/status", pods, i%many), "application/strategic-merge-patch+json", fmt.Sprintf("kbench-%d", i/many%5),
			fmt.Appendf(nil, `{"status":{"phase":"Running","podIP":"10.1.%d.%d"}}`, i%250, i/many%250))
	}
}

func BenchmarkUpdateLease(b *testing.B) { bothWays(b, benchmarkUpdateLease) }

func benchmarkUpdateLease(b *testing.B, s *server) {
	name, seconds := "node-0001", int32(40)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &seconds}}
	s.send(b, "POST", leases, runtime.ContentTypeProtobuf, "kbench-1", encoded(b, lease))
	first := s.revision(b, leases+"/"+name)
	bodies := make([][]byte, b.N)
	for i := range bodies {
		lease.ResourceVersion = strconv.Itoa(first + i) // each renewal is the only write
		lease.Spec.RenewTime = &metav1.MicroTime{Time: time.Now().Add(time.Duration(i) * time.Second)}
		bodies[i] = encoded(b, lease)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, body := range bodies {
		s.send(b, "PUT", leases+"/"+name, runtime.ContentTypeProtobuf, "kbench-1", body)
	}
}

func BenchmarkChurnConfigMap(b *testing.B) { bothWays(b, benchmarkChurnConfigMap) }

func benchmarkChurnConfigMap(b *testing.B, s *server) {
	bodies := make([][]byte, b.N)
	for i := range bodies {
		bodies[i] = encoded(b, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("c%d", i)}, Data: map[string]string{"k": strings.Repeat("v", 1000)}})
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i, body := range bodies {
		s.send(b, "POST", configMaps, runtime.ContentTypeProtobuf, "kbench-1", body)
		s.send(b, "DELETE", fmt.Sprintf("%s/c%d", configMaps, i), "", "kbench-1", nil)
	}
}
