package ephemeralvolume

import (
	"errors"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

func TestSync(t *testing.T) {
	register() // counters count nothing before
	class := "fast"
	template := &corev1.PersistentVolumeClaimTemplate{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "2"}},
		Spec:       corev1.PersistentVolumeClaimSpec{StorageClassName: &class},
	}
	ephemeral := func(name string) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: template}}}
	}
	other := corev1.Volume{Name: "other", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
	aPod := func(volumes ...corev1.Volume) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: "pod"}, Spec: corev1.PodSpec{Volumes: volumes}}
	}
	claim := func(name string, owner types.UID) *corev1.PersistentVolumeClaim {
		c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
		if owner != "" {
			c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "web", UID: owner, Controller: new(true)}}
		}
		return c
	}
	leaving := aPod(ephemeral("a"))
	leaving.DeletionTimestamp = &metav1.Time{}
	type claims = []*corev1.PersistentVolumeClaim
	for _, test := range []struct {
		name   string
		pod    *corev1.Pod
		claims claims
		answer error  // of the API
		asks   string // the claims that are asked for
		event  string // what an event's message begins with
	}{
		{name: "a pod that is gone"},
		{name: "a pod that is leaving", pod: leaving},
		{name: "a pod without such volumes", pod: aPod(other)},
		{name: "a new pod", pod: aPod(ephemeral("a"), other, ephemeral("b")), asks: "web-a web-b"},
		{name: "a pod that has one of two", pod: aPod(ephemeral("a"), ephemeral("b")), claims: claims{claim("web-a", "pod")}, asks: "web-b"},
		{name: "a pod that has all", pod: aPod(ephemeral("a")), claims: claims{claim("web-a", "pod")}},
		{name: "somebody's claim in the way", pod: aPod(ephemeral("a"), ephemeral("b")), claims: claims{claim("web-a", "")}, event: "ephemeral volume a: PVC ns/web-a was not created for pod ns/web"},
		{name: "the claim of an earlier pod in the way", pod: aPod(ephemeral("a")), claims: claims{claim("web-a", "earlier")}, event: "ephemeral volume a: PVC ns/web-a was not created for pod ns/web"},
		{name: "where it may not", pod: aPod(ephemeral("a"), ephemeral("b")), answer: apierrors.NewForbidden(corev1.Resource("persistentvolumeclaims"), "web-a", errors.New("no")), asks: "web-a", event: "ephemeral volume a: create PVC web-a: "},
	} {
		pods, known := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil), cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
		var errs []error
		if test.pod != nil {
			errs = append(errs, pods.Add(test.pod))
		}
		for _, c := range test.claims {
			errs = append(errs, known.Add(c))
		}
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		client := fake.NewSimpleClientset()
		var asks []string
		client.PrependReactor("*", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
			made := action.(clienttesting.CreateAction).GetObject().(*corev1.PersistentVolumeClaim)
			asks = append(asks, made.Name)
			if action.GetNamespace() != "ns" || !metav1.IsControlledBy(made, test.pod) || *made.Spec.StorageClassName != class ||
				!maps.Equal(made.Labels, template.Labels) || !maps.Equal(made.Annotations, template.Annotations) {
				t.Errorf("%s: makes %v", test.name, made)
			}
			return true, made, test.answer
		})
		events := record.NewFakeRecorder(9)
		x := &controller{client: client, events: events, pods: corelisters.NewPodLister(pods), claims: corelisters.NewPersistentVolumeClaimLister(known)}
		if err := x.sync(t.Context(), cache.ObjectName{Namespace: "ns", Name: "web"}); (err != nil) != (test.event != "") {
			t.Errorf("%s: %v", test.name, err)
		}
		if got := strings.Join(asks, " "); got != test.asks {
			t.Errorf("%s: asks for %q, want %q", test.name, got, test.asks)
		}
		close(events.Events)
		event, told := <-events.Events
		if want := "Warning FailedBinding " + test.event; told != (test.event != "") || told && !strings.HasPrefix(event, want) {
			t.Errorf("%s: the event %q, want %q", test.name, event, want)
		}
	}
}
