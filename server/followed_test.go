package server

import (
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// told keeps what a follower of objects was told.
type told struct {
	mu   sync.Mutex
	live map[types.UID]*metav1.PartialObjectMetadata
	gone []string
}

func (s *told) Add(object any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := object.(*metav1.PartialObjectMetadata)
	s.live[one.UID] = one
	return nil
}

func (s *told) Update(object any) error { return s.Add(object) }

func (s *told) Delete(object any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := object.(*metav1.PartialObjectMetadata)
	delete(s.live, one.UID)
	s.gone = append(s.gone, one.Name)
	return nil
}

func (s *told) Replace(objects []any, _ string) error {
	s.mu.Lock()
	s.live = map[types.UID]*metav1.PartialObjectMetadata{}
	s.mu.Unlock()
	for _, object := range objects {
		if err := s.Add(object); err != nil {
			return err
		}
	}
	return nil
}

func (s *told) Resync() error { return nil }

func (s *told) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		there := is()
		s.mu.Unlock()
		if there {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is never told; known: %v, gone: %v", what, s.live, s.gone)
		}
	}
}

// TestBuiltInResourcesAreFollowed as custom ones are.
func TestBuiltInResourcesAreFollowed(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	in := clientOf(t, s).CoreV1().ConfigMaps("default")
	first, err := in.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "first", Labels: map[string]string{"a": "b"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := &told{}
	stop, ok := s.api.followed.Follow(gvr("", "v1", "configmaps"), all)
	if !ok || all.live[first.UID] == nil {
		t.Fatalf("%t, known: %v", ok, all.live)
	}
	defer stop()
	second, err := in.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: "second", Finalizers: []string{"example.com/hold"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "first", UID: first.UID}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all.until(t, "the second", func() bool { return all.live[second.UID] != nil })
	got := all.live[second.UID]
	if got.Name != "second" || got.Namespace != "default" || got.ResourceVersion != second.ResourceVersion ||
		!slices.Equal(got.Finalizers, second.Finalizers) || len(got.OwnerReferences) != 1 || got.OwnerReferences[0].UID != first.UID {
		t.Errorf("told %+v", got)
	}
	if err := in.Delete(t.Context(), "first", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	all.until(t, "the end of the first", func() bool { return slices.Equal(all.gone, []string{"first"}) })
}

// TestCustomResourcesAreFollowed: the garbage collector is told of the metadata of
// custom resources as a watch of the API tells of it.
func TestCustomResourcesAreFollowed(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	e.define(t, widgets)
	in := e.Resource(gvr("example.com", "v1", "widgets")).Namespace("default")
	create := func(text string) types.UID {
		t.Helper()
		created, err := in.Create(t.Context(), document(t, text), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return created.GetUID()
	}
	first := create(`
apiVersion: example.com/v1
kind: Widget
metadata: {name: first}
spec: {color: red, anything: {metadata: {uid: other}, Metadata: {uid: another}}}
`)
	all := &told{}
	if _, ok := s.api.followed.Follow(gvr("", "v1", "gadgets"), all); ok {
		t.Error("an unknown resource is followed")
	}
	stop, ok := s.api.followed.Follow(gvr("example.com", "v1", "widgets"), all)
	if !ok || len(all.live) != 1 || all.live[first] == nil {
		t.Fatalf("%t, known: %v", ok, all.live)
	}
	second := create(`
apiVersion: example.com/v1
kind: Widget
metadata:
  name: second
  finalizers: [example.com/hold]
  ownerReferences: [{apiVersion: example.com/v1, kind: Widget, name: first, uid: ` + string(first) + `, blockOwnerDeletion: true}]
spec: {color: red}
`)
	all.until(t, "the second", func() bool { return all.live[second] != nil })
	if err := in.Delete(t.Context(), "second", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	all.until(t, "its deletion", func() bool { return all.live[second].DeletionTimestamp != nil })
	want, err := in.Get(t.Context(), "second", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := all.live[second]
	if got.Name != "second" || got.Namespace != "default" || got.ResourceVersion != want.GetResourceVersion() ||
		!slices.Equal(got.Finalizers, want.GetFinalizers()) || len(got.OwnerReferences) != 1 || got.OwnerReferences[0].UID != first ||
		!*got.OwnerReferences[0].BlockOwnerDeletion || !got.DeletionTimestamp.Equal(want.GetDeletionTimestamp()) {
		t.Errorf("told %+v, want %+v", got, want)
	}
	if _, err := in.Patch(t.Context(), "second", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	all.until(t, "its end", func() bool { return slices.Equal(all.gone, []string{"second"}) })
	stop()
	if err := in.Delete(t.Context(), "first", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if len(all.gone) != 1 {
		t.Errorf("told after the end: %v", all.gone)
	}
}
