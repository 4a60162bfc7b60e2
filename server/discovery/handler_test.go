package discovery

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientdiscovery "k8s.io/client-go/discovery"

	"github.com/howdah/howdah/server/loopback"
	"github.com/howdah/howdah/server/resource"
)

const aggregatedType = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

var kubernetes = sync.OnceValues(func() (string, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").Output()
	return strings.TrimSpace(string(dir)), err
})

// upstream reads a file of kube-apiserver's published discovery.
func upstream(t testing.TB, name string) []byte {
	t.Helper()
	dir, err := kubernetes()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "api", "discovery", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// newTable makes the table that kube-apiserver with all APIs on has, from its
// published discovery.
func newTable(t testing.TB) *resource.Table {
	t.Helper()
	table := resource.NewTable()
	add := func(gv schema.GroupVersion, file string, priority resource.Priority) {
		var list metav1.APIResourceList
		if err := json.Unmarshal(upstream(t, file), &list); err != nil {
			t.Fatal(err)
		}
		for _, r := range list.APIResources {
			name, subresource, _ := strings.Cut(r.Name, "/")
			kind := schema.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind}
			if kind.Version == "" {
				kind = gv.WithKind(r.Kind)
			}
			if err := table.Add(&resource.Resource{
				GroupVersionResource: gv.WithResource(name), Subresource: subresource, Kind: kind,
				Namespaced: r.Namespaced, Singular: r.SingularName, ShortNames: r.ShortNames, Categories: r.Categories,
				Verbs: r.Verbs, StorageVersionHash: r.StorageVersionHash, Priority: priority,
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(schema.GroupVersion{Version: "v1"}, "api__v1.json", resource.Priority{Group: 20000, Version: 1})
	var groups apidiscoveryv2.APIGroupDiscoveryList
	if err := json.Unmarshal(upstream(t, "aggregated_v2.json"), &groups); err != nil {
		t.Fatal(err)
	}
	for i, group := range groups.Items {
		for j, version := range group.Versions {
			gv := schema.GroupVersion{Group: group.Name, Version: version.Version}
			add(gv, "apis__"+gv.Group+"__"+gv.Version+".json", resource.Priority{Group: int32(10000 - i), Version: int32(100 - j)})
		}
	}
	return table
}

func newHandler(t testing.TB, table *resource.Table) *Handler {
	t.Helper()
	h, err := New(table, "10.10.10.10:8050", nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func do(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func parse(t testing.TB, data []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	return value
}

// Each document is the one that kube-apiserver gives for the same resources.
func TestDocumentsAreUpstreams(t *testing.T) {
	table := newTable(t)
	h := newHandler(t, table)
	paths := map[string]string{"/api": "api.json", "/apis": "apis.json"}
	for _, group := range table.Groups() {
		prefix, file := "/apis/"+group.Name, "apis__"+group.Name
		if group.Name == "" {
			prefix, file = "/api", "api"
		} else {
			paths[prefix] = file + ".json"
		}
		for _, version := range group.Versions {
			paths[prefix+"/"+version.Version] = file + "__" + version.Version + ".json"
		}
	}
	if len(paths) < 50 {
		t.Errorf("only %d documents", len(paths))
	}
	for path, file := range paths {
		w := do(h, "GET", path)
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if diff := cmp.Diff(parse(t, upstream(t, file)), parse(t, w.Body.Bytes())); diff != "" {
			t.Errorf("%s (-upstream +ours):\n%s", path, diff)
		}
	}
	w := do(h, "GET", "/apis", "Accept", aggregatedType)
	if diff := cmp.Diff(parse(t, upstream(t, "aggregated_v2.json")), parse(t, w.Body.Bytes())); diff != "" {
		t.Errorf("aggregated (-upstream +ours):\n%s", diff)
	}
	w = do(h, "GET", "/api", "Accept", aggregatedType)
	var core apidiscoveryv2.APIGroupDiscoveryList
	if err := json.Unmarshal(w.Body.Bytes(), &core); err != nil || len(core.Items) != 1 || core.Items[0].Name != "" || len(core.Items[0].Versions[0].Resources) < 15 {
		t.Errorf("%v %+v", err, core)
	}
}

func TestETag(t *testing.T) {
	table := newTable(t)
	h := newHandler(t, table)
	first := do(h, "GET", "/apis", "Accept", aggregatedType)
	etag := first.Header().Get("ETag")
	if len(etag) != 130 || first.Header().Get("Vary") != "Accept" || first.Header().Get("Cache-Control") != "public" ||
		first.Header().Get("Content-Type") != aggregatedType {
		t.Errorf("%v", first.Header())
	}
	if w := do(h, "GET", "/apis", "Accept", aggregatedType, "If-None-Match", etag); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	table.Remove(table.Lookup(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}, ""))
	changed := do(h, "GET", "/apis", "Accept", aggregatedType, "If-None-Match", etag)
	if changed.Code != http.StatusOK || changed.Header().Get("ETag") == etag {
		t.Errorf("%d %v", changed.Code, changed.Header())
	}
	if text := do(h, "GET", "/apis/apps/v1").Body.String(); strings.Contains(text, `"daemonsets"`) || !strings.Contains(text, `"daemonsets/status"`) {
		t.Error(text)
	}
}

func TestNegotiation(t *testing.T) {
	h := newHandler(t, newTable(t))
	for _, c := range []struct {
		method, path, accept string
		status               int
		contentType, body    string // a part of it
	}{
		{"GET", "/api", "application/yaml", 200, "application/yaml", "kind: APIVersions\n"},
		{"GET", "/api/", "", 200, "application/json", `{"kind":"APIVersions","versions":["v1"]`},
		{"GET", "/api/v1", "application/vnd.kubernetes.protobuf", 200, "application/vnd.kubernetes.protobuf", "k8s\x00\n\x13\n\x00\x12\x0fAPIResourceList"},
		{"GET", "/apis/apps/v1", "application/vnd.kubernetes.protobuf", 200, "application/vnd.kubernetes.protobuf", "k8s\x00\n\x15\n\x02v1\x12\x0fAPIResourceList"},
		{"GET", "/apis", "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", 200, "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", "k8s\x00"},
		{"GET", "/apis", aggregatedType + ",application/json", 200, aggregatedType, `"freshness":"Current"`},
		{"GET", "/apis", aggregatedType + ";profile=nopeer", 200, aggregatedType, `"freshness":"Current"`},
		{"GET", "/apis", strings.Replace(aggregatedType, "v2", "v2beta1", 1) + ",application/json", 200, "application/json", `"kind":"APIGroupList"`},
		{"GET", "/apis", "text/html", 406, "application/json", `only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf`},
		{"GET", "/api/v1", "text/html", 406, "application/json", `406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf`},
		{"POST", "/api/v1", "", 405, "application/json", `the server does not allow this method on the requested resource`},
		{"POST", "/apis", "", 200, "application/json", `"kind":"APIGroupList"`},
		{"GET", "/api/v2", "", 404, "application/json", `"message":"the server could not find the requested resource"`},
		{"GET", "/apis/nothing", "", 404, "text/plain; charset=utf-8", "404 page not found\n"},
		{"GET", "/apis/apps/v2", "", 404, "application/json", `"message":"the server could not find the requested resource"`},
		{"GET", "/apis/apps/v1?pretty=true", "", 200, "application/json", "{\n  \"kind\": \"APIResourceList\",\n  \"apiVersion\": \"v1\",\n"},
	} {
		var headers []string
		if c.accept != "" {
			headers = []string{"Accept", c.accept}
		}
		w := do(h, c.method, c.path, headers...)
		if w.Code != c.status || w.Header().Get("Content-Type") != c.contentType || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("%s %s %q: %d %v\n%.300q", c.method, c.path, c.accept, w.Code, w.Header(), w.Body)
		}
	}
}

// client-go's discovery client finds everything, in one request a root.
func TestClient(t *testing.T) {
	table := newTable(t)
	handler, requests := newHandler(t, table), 0
	config := loopback.Config(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		handler.ServeHTTP(w, r)
	}), nil)
	client, err := clientdiscovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	groups, lists, err := client.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, list := range lists {
		found += len(list.APIResources)
	}
	if len(groups) != len(table.Groups()) || found != len(table.All()) || requests != 2 {
		t.Errorf("%d groups, %d of %d resources, %d requests", len(groups), found, len(table.All()), requests)
	}
}

func FuzzAccept(f *testing.F) {
	table := resource.NewTable()
	gvr := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	if err := table.Add(&resource.Resource{GroupVersionResource: gvr, Kind: gvr.GroupVersion().WithKind("Deployment")}); err != nil {
		f.Fatal(err)
	}
	h := newHandler(f, table)
	f.Add("application/json")
	f.Add(aggregatedType + ",application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;q=0.9,*/*")
	f.Add(";;g=,as==;/")
	f.Fuzz(func(t *testing.T, accept string) {
		for _, path := range []string{"/api", "/apis", "/apis/apps", "/apis/apps/v1"} {
			w := do(h, "GET", path, "Accept", accept)
			switch w.Code {
			case 200, 404, 406:
			default:
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	})
}
