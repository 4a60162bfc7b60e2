package write

import (
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/howdah/howdah/server/listers"
)

// TestLean: the plugins watch none of the collections that grow with a cluster,
// nodes excepted; what they need of them comes from the object cache.
func TestLean(t *testing.T) {
	s := newGuardedServer(t)
	for kind := range s.informers.WaitForCacheSync(t.Context().Done()) {
		switch kind.Elem().Name() {
		case "Pod", "Service", "PersistentVolume", "PersistentVolumeClaim", "EndpointSlice", "Secret", "ConfigMap", "Lease", "Event":
			t.Errorf("there is an informer for %v", kind)
		}
	}

	s.must(t, "POST", pods, jsonType, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"x":"y"}},"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	s.must(t, "POST", pods, jsonType, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"},"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	lister := listers.Pods(s.getter.Store(schema.GroupResource{Resource: "pods"}))
	pod, err := lister.Pods("default").Get("a")
	if err != nil || pod.Name != "a" || pod.ResourceVersion == "" || pod.Spec.RestartPolicy != "Always" {
		t.Errorf("got %+v (%v)", pod, err)
	}
	if _, err := lister.Pods("other").Get("a"); err == nil || err.Error() != `pods "a" not found` {
		t.Errorf("of another namespace: %v", err)
	}
	for selector, want := range map[string]int{"": 2, "x=y": 1, "x!=y": 1, "z": 0} {
		parsed, err := labels.Parse(selector)
		if err != nil {
			t.Fatal(err)
		}
		in, err := lister.Pods("default").List(parsed)
		if err != nil || len(in) != want {
			t.Errorf("%q selects %d (%v), want %d", selector, len(in), err, want)
		}
		if all, err := lister.List(parsed); err != nil || len(all) != want {
			t.Errorf("%q selects %d of all (%v), want %d", selector, len(all), err, want)
		}
	}
	if none, err := lister.Pods("defa").List(labels.Everything()); err != nil || len(none) != 0 {
		t.Errorf("a namespace with the start of a name has %d pods (%v)", len(none), err)
	}
}
