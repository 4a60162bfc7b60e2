package write

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	api "k8s.io/kubernetes/pkg/apis/core"
)

// echo is a connection that says what it was asked for.
type echo struct{ rest.Storage }

func (echo) NewConnectOptions() (runtime.Object, bool, string) {
	return &api.PodProxyOptions{}, true, "path"
}
func (echo) ConnectMethods() []string { return []string{"GET"} }
func (echo) Connect(ctx context.Context, name string, options runtime.Object, r rest.Responder) (http.Handler, error) {
	if name == "gone" {
		return nil, errors.New("no such pod")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		path := options.(*api.PodProxyOptions).Path
		if path == "/object" {
			r.Object(http.StatusAccepted, &metav1.Status{Status: metav1.StatusSuccess, Message: "an object"})
			return
		}
		fmt.Fprint(w, request.NamespaceValue(ctx), " ", name, " ", path)
	}), nil
}

// noPath is admission that refuses connections to a path.
type noPath struct{}

func (noPath) Handles(op admission.Operation) bool { return op == admission.Connect }
func (noPath) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetObject().(*api.PodProxyOptions).Path == "/secret" {
		return admission.NewForbidden(a, errors.New("not there"))
	}
	return nil
}

func TestConnect(t *testing.T) {
	s := newServer(t, Deps{Admission: noPath{}})
	row := *s.table.Lookup(schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "proxy")
	row.Storage = echo{row.Storage}
	handler := Connect(&row, s.deps)
	s.http = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		factory := request.RequestInfoFactory{APIPrefixes: apiPrefixes, GrouplessAPIPrefixes: apiPrefixes}
		info, _ := factory.NewRequestInfo(r)
		handler.ServeHTTP(w, r.WithContext(request.WithRequestInfo(r.Context(), info)))
	})
	for _, test := range []struct {
		url  string
		code int
		body string
	}{
		{pods + "/p/proxy", 200, "default p"},
		{pods + "/p/proxy/a/b", 200, "default p /a/b"},
		{pods + "/p/proxy/a/b/", 200, "default p /a/b/"},
		{pods + "/p/proxy?path=/x", 200, "default p"},
		{pods + "/p/proxy/object", 202, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","message":"an object"}`},
		{pods + "/p/proxy/secret", 403, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"p\" is forbidden: not there","reason":"Forbidden","details":{"name":"p","kind":"pods"},"code":403}`},
		{pods + "/p/proxy?dryRun=All", 400, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"dryRun is not supported","reason":"BadRequest","code":400}`},
		{pods + "/gone/proxy", 500, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no such pod","code":500}`},
	} {
		if a := s.call(t, "GET", test.url, "", ""); a.code != test.code || a.body != test.body {
			t.Errorf("%s: %d %q, want %d %q", test.url, a.code, a.body, test.code, test.body)
		}
	}
}
