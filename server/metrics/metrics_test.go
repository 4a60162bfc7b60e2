package metrics

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/kubernetes/pkg/apis/core"
	endpointsstorage "k8s.io/kubernetes/pkg/registry/core/endpoint/storage"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/sqlite"
)

var pods = &resource.Resource{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "pods"}}

// flow is a server that serves every request as one to pods.
func flow(handler http.HandlerFunc) http.Handler {
	factory := &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, err := factory.NewRequestInfo(r)
		if err != nil {
			panic(err)
		}
		key, arrived := Arrival(info.Verb == "watch")
		ctx := context.WithValue(request.WithRequestInfo(r.Context(), info), key, arrived)
		Serve(w, r.WithContext(ctx), pods, handler)
	})
}

func scrape(t testing.TB, handler http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func expect(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line) {
			name, _, _ := strings.Cut(line, "{")
			var like []string
			for got := range strings.SplitSeq(text, "\n") {
				if strings.HasPrefix(got, name) {
					like = append(like, got)
				}
			}
			t.Errorf("missing %s; there is\n%s", line, strings.Join(like, "\n"))
		}
	}
}

func TestRequests(t *testing.T) {
	own, err := Handler(Sources{Table: resource.NewTable(), Size: func(context.Context) (int64, error) { return 4096, nil }})
	if err != nil {
		t.Fatal(err)
	}
	watching := make(chan struct{})
	end := make(chan struct{})
	h := flow(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Query().Has("watch"):
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			if _, ok := w.(http.Flusher); !ok {
				t.Error("the answer can't be flushed")
			}
			sent := NewWatch(pods)
			sent.Sent(3000)
			sent.Sent(10)
			close(watching)
			<-end
		case r.Method == "POST":
			w.WriteHeader(http.StatusCreated)
		case r.Method == "DELETE":
			// writes nothing
		default:
			io.WriteString(w, strings.Repeat("x", 2000))
		}
	})
	for _, server := range []struct {
		name  string
		proto int
	}{{"http1", 1}, {"http2", 2}} {
		for _, r := range []*http.Request{
			httptest.NewRequest("GET", "/api/v1/namespaces/default/pods/a", nil),
			httptest.NewRequest("GET", "/api/v1/namespaces/default/pods", nil),
			httptest.NewRequest("GET", "/api/v1/pods", nil),
			httptest.NewRequest("POST", "/api/v1/namespaces/default/pods?dryRun=All", nil),
			httptest.NewRequest("DELETE", "/api/v1/namespaces/default/pods/a", nil),
		} {
			r.ProtoMajor = server.proto
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	served := make(chan struct{})
	go func() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/api/v1/pods?watch=1", nil))
		close(served)
	}()
	<-watching
	expect(t, scrape(t, own), `apiserver_longrunning_requests{component="apiserver",group="",resource="pods",scope="cluster",subresource="",verb="WATCH",version="v1"} 1`)
	close(end)
	<-served
	Path("/readyz", "", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/readyz", nil))

	expect(t, scrape(t, own),
		`apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1"} 2`,
		`apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="namespace",subresource="",verb="LIST",version="v1"} 2`,
		`apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="cluster",subresource="",verb="LIST",version="v1"} 2`,
		`apiserver_request_total{code="201",component="apiserver",dry_run="All",group="",resource="pods",scope="resource",subresource="",verb="POST",version="v1"} 2`,
		`apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="DELETE",version="v1"} 2`,
		`apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="cluster",subresource="",verb="WATCH",version="v1"} 1`,
		`apiserver_request_total{code="200",component="",dry_run="",group="",resource="",scope="",subresource="/readyz",verb="GET",version=""} 1`,
		`apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1"} 2`,
		`apiserver_response_sizes_sum{component="apiserver",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1"} 4000`,
		`apiserver_longrunning_requests{component="apiserver",group="",resource="pods",scope="cluster",subresource="",verb="WATCH",version="v1"} 0`,
		`apiserver_watch_events_total{group="",resource="pods",version="v1"} 2`,
		`apiserver_watch_events_sizes_sum{group="",resource="pods",version="v1"} 3010`,
		`apiserver_storage_size_bytes{storage_cluster_id="etcd-0"} 4096`,
		`kubernetes_build_info{`, `process_start_time_seconds `, `go_goroutines `,
	)

	w := httptest.NewRecorder()
	own.ServeHTTP(w, httptest.NewRequest("DELETE", "/metrics", nil))
	if w.Body.String() != "metrics reset\n" || strings.Contains(scrape(t, own), "apiserver_request_total{") {
		t.Error(w.Body)
	}
}

func TestStore(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	file, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), log)
	if err != nil {
		t.Fatal(err)
	}
	table := resource.NewTable()
	recorded := Driver(file, ResourceOf(table))
	if _, exclusive := recorded.(storage.Exclusive); !exclusive {
		t.Error("hides that the driver is exclusive")
	}
	store, err := storage.New(storage.Options{Driver: recorded, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	factory, err := objects.NewStorageFactory()
	if err != nil {
		t.Fatal(err)
	}
	getter := objects.NewGetter(store, factory)
	if _, err := endpointsstorage.NewREST(getter); err != nil {
		t.Fatal(err)
	}
	gvr := schema.GroupVersionResource{Version: "v1", Resource: "endpoints"} // stored below /registry/services/endpoints/
	endpoints := getter.Store(gvr.GroupResource())
	if err := table.Add(&resource.Resource{GroupVersionResource: gvr, Objects: endpoints}); err != nil {
		t.Fatal(err)
	}
	if err := store.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	defer store.Stop(context.Background())

	one := &core.Endpoints{}
	one.Name, one.Namespace = "a", "default"
	if err := endpoints.Create(t.Context(), "/services/endpoints/default/a", one, &core.Endpoints{}, 0); err != nil {
		t.Fatal(err)
	}
	own, err := Handler(Sources{Table: table, Size: file.Size, Collectors: store.Collectors()})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, scrape(t, own),
		`apiserver_storage_objects{resource="endpoints"} 1`,
		`apiserver_resource_objects{group="",resource="endpoints"} 1`,
		`etcd_requests_total{group="",operation="create",resource="endpoints"} 1`,
		`etcd_request_duration_seconds_count{group="",operation="create",resource="endpoints"} 1`,
		`howdah_store_commit_seconds_count 1`,
		`apiserver_storage_size_bytes{storage_cluster_id="etcd-0"} `,
	)
}

// What recording one request costs, beyond serving it.
func BenchmarkServe(b *testing.B) {
	r := httptest.NewRequest("GET", "/api/v1/namespaces/default/pods/a", nil)
	r.ProtoMajor = 2
	key, arrived := Arrival(false)
	r = r.WithContext(context.WithValue(r.Context(), key, arrived))
	r = r.WithContext(request.WithRequestInfo(r.Context(), &request.RequestInfo{IsResourceRequest: true, Verb: "get", APIVersion: "v1", Resource: "pods", Namespace: "default", Name: "a"}))
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		Serve(w, r, pods, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	}
}
