package deployment

import (
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func image(name string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: name}}},
	}
}

func revised(name, img string, revision int, age int) *appsv1.ReplicaSet {
	set := sized(name, 0, 0, age)
	set.Spec.Template = image(img)
	set.Spec.Template.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = name
	set.Annotations = map[string]string{revisionAnnotation: strconv.Itoa(revision)}
	return set
}

func TestSplit(t *testing.T) {
	d := deploy(1, "1", "0")
	d.Spec.Template = image("v2")
	one, two, twin := revised("one", "v1", 1, 9), revised("two", "v2", 2, 8), revised("twin", "v2", 3, 7)
	fresh, old := split(d, []*appsv1.ReplicaSet{twin, one, two})
	if fresh != two || len(old) != 2 || old[0] != one || old[1] != twin {
		t.Errorf("%v, %v", fresh, old)
	}
	d.Spec.Template = image("v3")
	if fresh, old = split(d, []*appsv1.ReplicaSet{one, two}); fresh != nil || len(old) != 2 {
		t.Errorf("%v, %v", fresh, old)
	}
}

func TestNewReplicaSet(t *testing.T) {
	d := deploy(4, "1", "0")
	d.Name, d.Namespace, d.UID = strings.Repeat("n", 253), "default", "d"
	d.Annotations = map[string]string{"mine": "yes", revisionAnnotation: "7", corev1.LastAppliedConfigAnnotation: "{}"}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	d.Spec.Template = image("v1")
	set := newReplicaSet(d, nil, 3)
	hash := set.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	if len(set.Name) != 253 || !strings.HasSuffix(set.Name, "-"+hash) || set.Spec.Selector.MatchLabels["pod-template-hash"] != hash || set.Spec.Template.Labels["pod-template-hash"] != hash {
		t.Errorf("names: %s, %+v", set.Name, set.Spec)
	}
	want := map[string]string{"mine": "yes", revisionAnnotation: "3", desiredReplicasAnnotation: "4", maxReplicasAnnotation: "5"}
	if len(set.Annotations) != len(want) {
		t.Errorf("annotations %v", set.Annotations)
	}
	for key, value := range want {
		if set.Annotations[key] != value {
			t.Errorf("%s is %q", key, set.Annotations[key])
		}
	}
	if *set.Spec.Replicas != 4 || !metav1.IsControlledBy(set, d) {
		t.Errorf("%+v", set)
	}
	if d.Spec.Template.Labels["pod-template-hash"] != "" || d.Spec.Selector.MatchLabels["pod-template-hash"] != "" {
		t.Error("changed the Deployment")
	}
}

func TestAnnotate(t *testing.T) {
	d := deploy(1, "1", "0")
	set := revised("one", "v1", 1, 1)
	if annotate(d, set, 1) {
		t.Error("changed without a reason")
	}
	if !annotate(d, set, 4) || set.Annotations[revisionAnnotation] != "4" || set.Annotations[revisionHistoryAnnotation] != "1" {
		t.Errorf("%v", set.Annotations)
	}
	if !annotate(d, set, 6) || set.Annotations[revisionHistoryAnnotation] != "1,4" {
		t.Errorf("%v", set.Annotations)
	}
	if annotate(d, set, 2) || set.Annotations[revisionAnnotation] != "6" {
		t.Errorf("a revision went back: %v", set.Annotations)
	}
	set.Annotations[revisionAnnotation] = "somebody's"
	if annotate(d, set, 9) || set.Annotations[revisionAnnotation] != "somebody's" {
		t.Errorf("%v", set.Annotations)
	}
}

func TestLengthen(t *testing.T) {
	history := ""
	for i := range 2000 {
		history = lengthen(history, strconv.Itoa(i))
		if len(history) > revisionHistoryLength {
			t.Fatalf("%d characters", len(history))
		}
	}
	if !strings.HasSuffix(history, ",1998,1999") || strings.HasPrefix(history, "0,") {
		t.Errorf("%s", history)
	}
}

func TestOutlived(t *testing.T) {
	d := deploy(1, "1", "0")
	limit := int32(1)
	busy := revised("busy", "v0", 1, 9)
	*busy.Spec.Replicas = 1
	old := []*appsv1.ReplicaSet{revised("c", "v3", 4, 6), busy, revised("a", "v1", 2, 8), revised("b", "v2", 3, 7)}
	if got := outlived(d, old); got != nil {
		t.Errorf("without a limit: %v", got)
	}
	d.Spec.RevisionHistoryLimit = &limit
	got := outlived(d, old)
	if len(got) != 2 || got[0].Name != "a" || got[1].Name != "b" {
		t.Errorf("%v", got)
	}
}

func TestRestore(t *testing.T) {
	d := deploy(1, "1", "0")
	d.Annotations = map[string]string{"of": "v2", revisionAnnotation: "2", appsv1.DeprecatedRollbackTo: "1"}
	d.Spec.Template = image("v2")
	set := revised("one", "v1", 1, 1)
	set.Annotations["of"] = "v1"
	restore(d, set)
	if d.Spec.Template.Spec.Containers[0].Image != "v1" || d.Spec.Template.Labels["pod-template-hash"] != "" {
		t.Errorf("template %+v", d.Spec.Template)
	}
	if d.Annotations["of"] != "v1" || d.Annotations[revisionAnnotation] != "2" {
		t.Errorf("annotations %v", d.Annotations)
	}
	if got := penultimate([]*appsv1.ReplicaSet{revised("x", "", 3, 1), revised("y", "", 7, 1), revised("z", "", 5, 1)}); got != 5 {
		t.Errorf("the last but one is %d", got)
	}
}
