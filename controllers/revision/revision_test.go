package revision

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPatch(t *testing.T) {
	ds := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "x"}}
	ds.Spec.Template.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}}
	got, err := Patch(ds)
	if err != nil {
		t.Fatal(err)
	}
	// What upstream's controllers store, byte for byte.
	if want := `{"spec":{"template":{"$patch":"replace","metadata":{},"spec":{"containers":[{"image":"i","name":"c","resources":{}}]}}}}`; string(got) != want {
		t.Errorf("%s, not %s", got, want)
	}
}

func TestOutlived(t *testing.T) {
	var all []*appsv1.ControllerRevision
	for _, n := range []int64{4, 1, 3, 2, 5} {
		all = append(all, &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(n)}, Revision: n})
	}
	live := func(r *appsv1.ControllerRevision) bool { return r.Name == "1" || r.Name == "5" }
	for limit, want := range map[int]string{0: "[2 3 4]", 1: "[2 3]", 3: "[]", 9: "[]"} {
		names := []string{}
		for _, r := range Outlived(all, limit, live) {
			names = append(names, r.Name)
		}
		if fmt.Sprint(names) != want {
			t.Errorf("a limit of %d: %v, not %s", limit, names, want)
		}
	}
	if n := Next(all); n != 6 {
		t.Errorf("next is %d", n)
	}
}
