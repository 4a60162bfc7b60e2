package statefulset

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	appsdefaults "k8s.io/kubernetes/pkg/apis/apps/v1"
	"k8s.io/utils/lru"

	"github.com/howdah/howdah/controllers/revision"
)

// TestRestores: a revision whose bytes differ only in what another release wrote
// or did not know is the one that the set is at.
func TestRestores(t *testing.T) {
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db", UID: "u", Generation: 1}, Spec: appsv1.StatefulSetSpec{
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i:1"}}}},
	}}
	appsdefaults.SetObjectDefaults_StatefulSet(set)
	patch, err := revision.Patch(set)
	if err != nil {
		t.Fatal(err)
	}
	wanted := &appsv1.ControllerRevision{Data: runtime.RawExtension{Raw: patch}}
	for _, c := range []struct {
		name, from, to string
		same           bool
	}{
		{"the same", "", "", true},
		{"an empty field that was written once", `"metadata":{}`, `"metadata":{"creationTimestamp":null}`, true},
		{"a field that has a default since", `"terminationMessagePolicy":"File"`, `"imagePullPolicy":"IfNotPresent"`, true},
		{"another image", `"i:1"`, `"i:2"`, false},
		{"another value of what has a default", `"dnsPolicy":"ClusterFirst"`, `"dnsPolicy":"Default"`, false},
		{"no patch", `{"spec"`, `["spec"`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := string(patch)
			if !strings.Contains(before, c.from) {
				t.Fatalf("%s isn't in %s", c.from, before)
			}
			r := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "7"}, Data: runtime.RawExtension{Raw: []byte(strings.Replace(before, c.from, c.to, 1))}}
			x := &controller{restored: lru.New(maxRestored)}
			for range 2 { // the second time from memory
				if same := x.restores(set, r, wanted); same != c.same {
					t.Errorf("%t, want %t", same, c.same)
				}
			}
			if x.restored.Len() == 1 != c.same {
				t.Errorf("%d are remembered", x.restored.Len())
			}
		})
	}
}
