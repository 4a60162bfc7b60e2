package reader

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

// TestMetadata asks as client-go's metadata client does, and is told the same but
// for managedFields.
func TestMetadata(t *testing.T) {
	seen := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: "a", UID: "1", ResourceVersion: "5", Finalizers: []string{"x/y"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "b", UID: "2"}},
	}}
	raw, err := seen.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := (&runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"}, Raw: raw}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	event, err := (&metav1.WatchEvent{Type: "ADDED", Object: runtime.RawExtension{Raw: append(protobufMagic, envelope...)}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.String()+" "+r.Header.Get("Accept"))
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf+";stream=watch")
		_, _ = w.Write(framed(t, event))
	}))
	defer server.Close()
	access := &rest.Config{Host: server.URL}
	ours, err := NewMetadata(access)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := metadata.NewForConfig(access)
	if err != nil {
		t.Fatal(err)
	}
	first := func(w watch.Interface, err error) watch.Event {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		return <-w.ResultChan()
	}
	options := metav1.ListOptions{ResourceVersion: "3", AllowWatchBookmarks: true, TimeoutSeconds: ptr.To[int64](7)}
	for _, resource := range []schema.GroupVersionResource{{Version: "v1", Resource: "pods"}, {Group: "apps", Version: "v1", Resource: "replicasets"}} {
		asked = nil
		got := first(ours.Watch(t.Context(), resource, options))
		want := first(theirs.Resource(resource).Watch(t.Context(), options))
		if asked[0] != asked[1] {
			t.Errorf("it asks %s, client-go %s", asked[0], asked[1])
		}
		if fields := got.Object.(*metav1.PartialObjectMetadata).ManagedFields; fields != nil {
			t.Errorf("managedFields are %v", fields)
		}
		want.Object.(*metav1.PartialObjectMetadata).ManagedFields = nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("it is told %+v, client-go %+v", got, want)
		}
	}
}
