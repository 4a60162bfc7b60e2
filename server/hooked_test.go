package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// TestConversionWithinTimeout has requests end in their own time while the calls of the
// webhook go on.
func TestConversionWithinTimeout(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	var ended atomic.Int32
	release := make(chan struct{})
	hook := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then is its end noticed
		select {
		case <-release:
		case <-r.Context().Done():
			ended.Add(1)
		}
		http.Error(w, "it never converts", http.StatusInternalServerError)
	}))
	defer hook.Close()
	defer close(release)
	e.define(t, hooked(t, bolts, hook))
	v1 := e.Resource(gvr("example.com", "v1", "bolts"))
	for _, name := range []string{"a", "b", "c"} {
		if _, err := v1.Create(t.Context(), document(t, "{apiVersion: example.com/v1, kind: Bolt, metadata: {name: "+name+"}, spec: {length: 3}}"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	const bolt = `{"apiVersion": "example.com/v2", "kind": "Bolt", "metadata": {"name": "NAME"}, "spec": {"size": "M3"}}`
	const table = "application/json;as=Table;v=v1;g=meta.k8s.io"
	client := e.typed.CoreV1().RESTClient()
	requests := map[string]*rest.Request{
		"get":           client.Get().AbsPath("/apis/example.com/v2/bolts/a"),
		"get as table":  client.Get().AbsPath("/apis/example.com/v2/bolts/a").SetHeader("Accept", table),
		"list":          client.Get().AbsPath("/apis/example.com/v2/bolts"),
		"list as table": client.Get().AbsPath("/apis/example.com/v2/bolts").SetHeader("Accept", table),
		"list selected": client.Get().AbsPath("/apis/example.com/v2/bolts").Param("fieldSelector", "spec.size=M3"),
		"list named":    client.Get().AbsPath("/apis/example.com/v2/bolts").Param("fieldSelector", "metadata.name=a,spec.size=M3"),
		"create":        client.Post().AbsPath("/apis/example.com/v2/bolts").Body([]byte(strings.Replace(bolt, "NAME", "d", 1))).SetHeader("Content-Type", "application/json"),
		"update":        client.Put().AbsPath("/apis/example.com/v2/bolts/b").Body([]byte(strings.Replace(bolt, "NAME", "b", 1))).SetHeader("Content-Type", "application/json"),
		"patch":         client.Patch(types.MergePatchType).AbsPath("/apis/example.com/v2/bolts/b").Body([]byte(`{"spec":{"size":"M4"}}`)),
		"apply":         client.Patch(types.ApplyYAMLPatchType).AbsPath("/apis/example.com/v2/bolts/b").Param("fieldManager", "me").Body([]byte(strings.Replace(bolt, "NAME", "b", 1))),
		"delete":        client.Delete().AbsPath("/apis/example.com/v2/bolts/c"),
		"delete all":    client.Delete().AbsPath("/apis/example.com/v2/bolts"),
	}
	var asking sync.WaitGroup
	// Stored in v1, but what others own of it was written in v2.
	owned := document(t, `{apiVersion: example.com/v1, kind: Bolt, metadata: {name: e}, spec: {length: 3}}`)
	owned.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: "other", Operation: metav1.ManagedFieldsOperationApply, APIVersion: "example.com/v2",
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:size":{}}}`),
	}})
	body, err := owned.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	requests["create owned"] = client.Post().AbsPath("/apis/example.com/v1/bolts").Body(body).SetHeader("Content-Type", "application/json")
	for name, request := range requests {
		asking.Go(func() {
			err := request.Param("timeout", "2s").MaxRetries(0).Do(t.Context()).Error()
			if !apierrors.IsTimeout(err) || err.(apierrors.APIStatus).Status().Code != http.StatusGatewayTimeout {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	asking.Wait()
	if n := ended.Load(); n > 0 {
		t.Errorf("%d calls of the webhook had come to their end before the requests", n)
	}
	list, err := v1.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 3 {
		t.Errorf("in the stored version: %v, %v", list, err)
	}
}

// TestHugeConversion has a webhook that answers without end.
func TestHugeConversion(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	const much = 50 << 20
	var sent atomic.Int64
	hook := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		piece := []byte(strings.Repeat(" ", 64<<10))
		for sent.Load() < much {
			n, err := w.Write(piece)
			if err != nil {
				return
			}
			sent.Add(int64(n))
		}
	}))
	defer hook.Close()
	e.define(t, hooked(t, bolts, hook))
	if _, err := e.Resource(gvr("example.com", "v1", "bolts")).Create(t.Context(), document(t, "{apiVersion: example.com/v1, kind: Bolt, metadata: {name: a}, spec: {length: 3}}"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := e.Resource(gvr("example.com", "v2", "bolts")).Get(t.Context(), "a", metav1.GetOptions{})
	if err == nil || !strings.Contains(err.Error(), "the webhook's answer is longer than 16777216 bytes") {
		t.Errorf("an answer of 50 MB: %v", err)
	}
	if n := sent.Load(); n >= much {
		t.Errorf("all of an answer of %d bytes was taken", n)
	}
}
