package write

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestReplicas: objects that are created by the same body again and again are those
// that the first one was, with their own names and times.
func TestReplicas(t *testing.T) {
	s := newGuardedServer(t)
	pod := benchPod(1)
	pod.Name, pod.GenerateName = "", "web-"
	no := false
	pod.Spec.AutomountServiceAccountToken = &no // its volume has a random name
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "1"}}
	body, other := string(encoded(t, pod)), benchPod(2)
	other.Name, other.GenerateName = "", "web-"
	create := func(body, manager string) map[string]any {
		t.Helper()
		a := s.call(t, "POST", pods+"?fieldManager="+manager, runtime.ContentTypeProtobuf, body)
		if a.code != 201 {
			t.Fatalf("%d %s", a.code, a.body)
		}
		object := a.object(t)
		metadata := object["metadata"].(map[string]any)
		for _, own := range []string{"name", "uid", "resourceVersion", "creationTimestamp"} {
			if metadata[own] == nil || metadata[own] == "" {
				t.Errorf("no %s: %v", own, metadata)
			}
			delete(metadata, own)
		}
		entry := metadata["managedFields"].([]any)[0].(map[string]any)
		if entry["time"] == nil {
			t.Errorf("no time: %v", entry)
		}
		delete(entry, "time")
		return object
	}
	first := create(body, "a")
	for i, manager := range []string{"a", "a", "b", "b", "a", "a"} {
		create(string(encoded(t, other)), "a") // in between
		again := create(body, manager)
		entry := again["metadata"].(map[string]any)["managedFields"].([]any)[0].(map[string]any)
		if entry["manager"] != manager {
			t.Errorf("%d: managed by %v", i, entry)
		}
		entry["manager"] = "a"
		if diff := cmp.Diff(first, again); diff != "" {
			t.Errorf("%d (-first +again):\n%s", i, diff)
		}
	}

	r := newReplicas()
	long := make([]byte, longestReplica+1)
	if r.find(nil) != nil || r.find(long) != nil || r.find(long) != nil {
		t.Error("what is too long or nothing is kept")
	}
	for i := range 1000 {
		r.find(fmt.Append(nil, i))
	}
	if r.find([]byte("a")) != nil || r.find([]byte("a")) == nil {
		t.Error("the last is not known")
	}
}
