package server

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
)

// TestPrivileged: programs of nodes run privileged, unless that is forbidden.
func TestPrivileged(t *testing.T) {
	client := clientOf(t, start(t, Options{DataDir: t.TempDir()}))
	yes := true
	_, err := client.CoreV1().ReplicationControllers("kube-system").Create(t.Context(), &corev1.ReplicationController{
		ObjectMeta: metav1.ObjectMeta{Name: "network"},
		Spec: corev1.ReplicationControllerSpec{Selector: map[string]string{"a": "b"}, Template: &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: corev1.PodSpec{HostNetwork: true, Containers: []corev1.Container{{
			Name: "c", Image: "i", SecurityContext: &corev1.SecurityContext{Privileged: &yes},
		}}}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Error(err)
	}
}

func TestFeatureGates(t *testing.T) {
	locked := ""
	for name, spec := range utilfeature.DefaultMutableFeatureGate.GetAll() {
		if spec.LockToDefault && spec.Default {
			locked = string(name)
			break
		}
	}
	for gate, want := range map[string]string{
		"NoSuchFeature": "--feature-gates: unrecognized feature gate: NoSuchFeature",
		locked:          "--feature-gates: cannot set feature gate " + locked + " to false, feature is locked to true",
	} {
		_, err := New(Options{DataDir: t.TempDir(), Process: ProcessOptions{FeatureGates: map[string]bool{gate: false}}})
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v", gate, err)
		}
	}
}

// TestNativeHistograms as upstream's end-to-end test of that name: both forms for
// who asks for protobuf.
func TestNativeHistograms(t *testing.T) {
	client := clientOf(t, start(t, Options{DataDir: t.TempDir()}))
	body, err := client.CoreV1().RESTClient().Get().AbsPath("/metrics").
		SetHeader("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	decoder := expfmt.NewDecoder(strings.NewReader(string(body)), expfmt.NewFormat(expfmt.TypeProtoDelim))
	for {
		var family dto.MetricFamily
		if err := decoder.Decode(&family); err != nil {
			t.Fatalf("no apiserver_request_duration_seconds: %v", err)
		}
		if family.GetName() != "apiserver_request_duration_seconds" {
			continue
		}
		for _, metric := range family.Metric {
			h := metric.GetHistogram()
			if h.GetSchema() == 0 || len(h.GetPositiveSpan()) == 0 || len(h.GetBucket()) == 0 {
				t.Errorf("not in both forms: %v", metric)
			}
		}
		return
	}
}

func TestCORS(t *testing.T) {
	for expression, want := range map[string]string{
		"":            "empty value",
		"(":           "invalid regular expression",
		"example.org": "does not pin",
	} {
		if _, err := New(Options{DataDir: t.TempDir(), CORSOrigins: []string{expression}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", expression, err)
		}
	}
	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	s := start(t, Options{DataDir: t.TempDir(), CORSOrigins: []string{`//example\.org(:|$)`}})
	for origin, allowed := range map[string]bool{"https://example.org:8080": true, "https://example.org.evil.net": false} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, adminConfig(t, s).Host+"/api/v1/pods", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Origin", origin)
		response, err := stranger.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		got := response.Header.Get("Access-Control-Allow-Origin")
		if allowed && (response.StatusCode != http.StatusNoContent || got != origin) || !allowed && (response.StatusCode < 400 || got != "") {
			t.Errorf("%s: %s, allowed is %q", origin, response.Status, got)
		}
	}
}
