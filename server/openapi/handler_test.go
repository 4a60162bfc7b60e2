package openapi

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	openapi_v3 "github.com/google/gnostic-models/openapiv3"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/handler3"
)

func newHandler(t testing.TB) *Handler {
	h, err := New(func(gv schema.GroupVersion) bool {
		return !strings.Contains(gv.Version, "alpha") && !strings.Contains(gv.Version, "beta") &&
			gv.Group != "apiextensions.k8s.io" && gv.Group != "apiregistration.k8s.io"
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(t testing.TB, h http.Handler, path string, headers ...string) (*httptest.ResponseRecorder, []byte) {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var body io.Reader = w.Body
	if w.Header().Get("Content-Encoding") == "gzip" {
		if w.Code == http.StatusOK {
			var err error
			if body, err = gzip.NewReader(w.Body); err != nil {
				t.Fatal(err)
			}
		}
	}
	read, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return w, read
}

func TestV2(t *testing.T) {
	h := newHandler(t)
	w, body := get(t, h, "/openapi/v2")
	var swagger struct {
		Swagger     string
		Info        map[string]string
		Paths       map[string]any
		Definitions map[string]any
	}
	if err := json.Unmarshal(body, &swagger); err != nil {
		t.Fatal(err)
	}
	if swagger.Swagger != "2.0" || swagger.Info["version"] != "v1.37.2+howdah" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%s %v %v", swagger.Swagger, swagger.Info, w.Header())
	}
	for path, want := range map[string]bool{
		"/api/": true, "/apis/": true, "/version/": true, "/apis/apps/": true,
		"/api/v1/namespaces/{namespace}/pods/{name}": true, "/apis/autoscaling/v1/": true,
		"/apis/scheduling.k8s.io/v1alpha3/": false, "/apis/internal.apiserver.k8s.io/": false, "/logs/": false,
	} {
		if _, found := swagger.Paths[path]; found != want {
			t.Errorf("%s: %v", path, found)
		}
	}
	if swagger.Definitions["io.k8s.api.core.v1.Pod"] == nil || swagger.Definitions["io.k8s.api.scheduling.v1alpha3.PodGroup"] != nil {
		t.Error("definitions")
	}

	for _, accept := range []string{"application/com.github.proto-openapi.spec.v2@v1.0+protobuf", "application/json;q=0.1,application/com.github.proto-openapi.spec.v2.v1.0+protobuf"} {
		binary, body := get(t, h, "/openapi/v2", "Accept", accept, "Accept-Encoding", "gzip")
		var document openapi_v2.Document
		if err := proto.Unmarshal(body, &document); err != nil {
			t.Fatal(err)
		}
		if len(document.Paths.Path) != len(swagger.Paths) || len(document.Definitions.AdditionalProperties) != len(swagger.Definitions) {
			t.Error("the protobuf form is another document")
		}
		if binary.Header().Get("Content-Type") != "application/com.github.proto-openapi.spec.v2.v1.0+protobuf" ||
			binary.Header().Get("Etag") != w.Header().Get("Etag") || strings.Join(binary.Header().Values("Vary"), ",") != "Accept,Accept-Encoding" {
			t.Errorf("%v", binary.Header())
		}
	}

	if w, _ := get(t, h, "/openapi/v2", "Accept", "text/html"); w.Code != http.StatusNotAcceptable {
		t.Error(w.Code)
	}
	if w, _ := get(t, h, "/openapi/v2", "If-None-Match", w.Header().Get("Etag")); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Error(w.Code)
	}
}

// Every reference inside every document leads somewhere.
func TestV3(t *testing.T) {
	h := newHandler(t)
	_, body := get(t, h, "/openapi/v3")
	var list handler3.OpenAPIV3Discovery
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"api": true, "apis": true, "version": true, "api/v1": true, "apis/apps": true, "apis/apps/v1": true, "apis/autoscaling/v2": true,
		"v2": false, "logs": false, "apis/resource.k8s.io/v1beta1": false, "apis/lifecycle.k8s.io": false, "apis/apiextensions.k8s.io": false,
	} {
		if _, found := list.Paths[path]; found != want {
			t.Errorf("%s: %v", path, found)
		}
	}
	for path, entry := range list.Paths {
		w, body := get(t, h, entry.ServerRelativeURL, "Accept-Encoding", "gzip, deflate")
		var document struct {
			OpenAPI    string
			Components struct{ Schemas map[string]any }
		}
		if err := json.Unmarshal(body, &document); err != nil || document.OpenAPI != "3.0.0" {
			t.Errorf("%s: %v %s", path, err, document.OpenAPI)
		}
		for _, reference := range strings.Split(string(body), `"$ref":"`)[1:] {
			name, _, _ := strings.Cut(strings.TrimPrefix(reference, "#/components/schemas/"), `"`)
			if document.Components.Schemas[name] == nil {
				t.Errorf("%s refers to %s", path, name)
			}
		}
		if w.Header().Get("Cache-Control") != "public, immutable" || w.Header().Get("Expires") == "" || w.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: %v", path, w.Header())
		}
		_, body = get(t, h, "/openapi/v3/"+path, "Accept", "application/com.github.proto-openapi.spec.v3.v1.0+protobuf")
		var binary openapi_v3.Document
		if err := proto.Unmarshal(body, &binary); err != nil || binary.Openapi != "3.0.0" {
			t.Errorf("%s: %v", path, err)
		}
	}

	w, _ := get(t, h, "/openapi/v3/api/v1?hash=OLD")
	if w.Code != http.StatusMovedPermanently || w.Header().Get("Location") != list.Paths["api/v1"].ServerRelativeURL {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w, _ := get(t, h, "/openapi/v3/api/v1"); w.Header().Get("Cache-Control") != "" {
		t.Errorf("cached without a hash: %v", w.Header())
	}
	for _, path := range []string{"/openapi/v3/", "/openapi/v3/apis/resource.k8s.io/v1beta1", "/openapi/v3/v2", "/openapi/v3/../v2"} {
		if w, _ := get(t, h, path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestTakesGzip(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "gzip; q=0.0": false,
		"*": true, "*;q=0": false, "identity": false, "gzipped": false, "gzip;q=x": false,
	} {
		if got := takesGzip([]string{value}); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}

func FuzzAccept(f *testing.F) {
	h := newHandler(f)
	f.Add("application/json", "gzip")
	f.Add("application/com.github.proto-openapi.spec.v2@v1.0+protobuf;q=0.5,*/*;q=0.1", "gzip;q=0, *")
	f.Add(",;q=;/", ";;q")
	f.Fuzz(func(t *testing.T, accept, encoding string) {
		w, _ := get(t, h, "/openapi/v3/version", "Accept", accept, "Accept-Encoding", encoding)
		switch w.Code {
		case http.StatusOK:
			if w.Header().Get("Content-Type") == "" || w.Body == nil {
				t.Errorf("%v", w.Header())
			}
		case http.StatusNotAcceptable:
		default:
			t.Errorf("%d", w.Code)
		}
	})
}
