package scheduling

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/scheduler/config"
)

// What pods request is told while a scheduler runs.
func TestResources(t *testing.T) {
	settings, err := config.Load("")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		answer := httptest.NewRecorder()
		s.Resources().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics/resources", nil))
		return answer.Body.String()
	}
	if got := ask(); got != "" {
		t.Errorf("without a scheduler: %s", got)
	}
	pods := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"}, Spec: corev1.PodSpec{SchedulerName: "s", NodeName: "n", Containers: []corev1.Container{{
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("1500m")}},
	}}}}
	if err := pods.Add(pod); err != nil {
		t.Fatal(err)
	}
	s.set(nil, corelisters.NewPodLister(pods))
	want := `kube_pod_resource_request{namespace="default",node="n",pod="p",priority="",resource="cpu",scheduler="s",unit="cores"} 1.5`
	if got := ask(); !strings.Contains(got, want) {
		t.Errorf("there is no %s in %s", want, got)
	}
}
