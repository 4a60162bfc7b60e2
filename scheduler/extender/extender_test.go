package extender

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"
)

func serve(t *testing.T, answers map[string]any) *Extender {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok {
			http.Error(w, "no", http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	e, err := New(Config{
		URLPrefix: server.URL + "/", FilterVerb: "filter", PrioritizeVerb: "prioritize", BindVerb: "bind", PreemptVerb: "preempt",
		Weight: 2, Timeout: 5 * time.Second, NodeCacheCapable: true, ManagedResources: []string{"example.com/x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestExtender(t *testing.T) {
	nodes := []*corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, {ObjectMeta: metav1.ObjectMeta{Name: "b"}}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	e := serve(t, map[string]any{
		"/filter":     extenderv1.ExtenderFilterResult{NodeNames: &[]string{"b"}, FailedNodes: extenderv1.FailedNodesMap{"a": "too warm"}},
		"/prioritize": extenderv1.HostPriorityList{{Host: "b", Score: 3}},
		"/bind":       extenderv1.ExtenderBindingResult{Error: "not today"},
	})
	left, refusals, err := e.Filter(t.Context(), pod, nodes)
	if err != nil || !slices.Equal(left, []string{"b"}) || refusals.Resolvable["a"] != "too warm" {
		t.Errorf("%v %v %v", left, refusals, err)
	}
	if scores, err := e.Prioritize(t.Context(), pod, nodes); err != nil || scores["b"] != 60 {
		t.Errorf("%v %v", scores, err)
	}
	if err := e.Bind(t.Context(), pod, "b"); err == nil || err.Error() != "not today" {
		t.Error(err)
	}
	if _, err := e.Preempt(t.Context(), pod, nil); err == nil {
		t.Error("no error")
	}
	if _, _, err := e.Filter(t.Context(), pod, nodes[:1]); err == nil {
		t.Error("a node that was not asked about is accepted")
	}
	if e.Interested(pod) {
		t.Error("interested in a pod without its resource")
	}
	pod.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"example.com/x": resource.MustParse("1")}}}}
	if !e.Interested(pod) {
		t.Error("not interested in a pod with its resource")
	}
}
