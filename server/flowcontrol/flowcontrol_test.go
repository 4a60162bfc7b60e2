package flowcontrol

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	flowcontrolrequest "k8s.io/apiserver/pkg/util/flowcontrol/request"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/pkg/apis/core"
	endpointsstorage "k8s.io/kubernetes/pkg/registry/core/endpoint/storage"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/sqlite"
)

// control has the mandatory configuration only: nothing runs.
func control(t testing.TB, limits Limits) *Control {
	t.Helper()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "https://loopback.invalid"})
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{
		Limits: limits, LongRunning: func(*http.Request, *request.RequestInfo) bool { return false }, Timeout: time.Minute,
		Table: resource.NewTable(), Client: client, Informers: informers.NewSharedInformerFactory(client, 0),
	})
}

func requestOf(t testing.TB, who user.Info) *http.Request {
	t.Helper()
	r := httptest.NewRequest("GET", "/api/v1/namespaces/default/pods/a", nil)
	factory := &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	info, err := factory.NewRequestInfo(r)
	if err != nil {
		t.Fatal(err)
	}
	return r.WithContext(request.WithUser(request.WithRequestInfo(r.Context(), info), who))
}

func TestLimitsCheck(t *testing.T) {
	for limits, good := range map[Limits]bool{
		{Requests: 1, MutatingRequests: 0, Fairness: true}: true,
		{Fairness: false}:                     true,
		{Fairness: true}:                      false,
		{Requests: -1, MutatingRequests: 2}:   false,
		{Requests: 400, MutatingRequests: -1}: false,
	} {
		if err := limits.Check(); (err == nil) != good {
			t.Errorf("%+v: %v", limits, err)
		}
	}
}

// TestSizes: the sizes of lists are those of the object cache.
func TestSizes(t *testing.T) {
	driver, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close()
	store, err := storage.New(storage.Options{Driver: driver})
	if err != nil {
		t.Fatal(err)
	}
	factory, err := objects.NewStorageFactory()
	if err != nil {
		t.Fatal(err)
	}
	getter := objects.NewGetter(store, factory)
	endpoints, err := endpointsstorage.NewREST(getter)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer store.Stop(t.Context())
	table := resource.NewTable()
	s := newSizes(table)
	if _, err := s.of("endpoints"); err != flowcontrolrequest.ObjectCountNotFoundErr {
		t.Errorf("an unknown resource: %v", err)
	}
	gr := schema.GroupResource{Resource: "endpoints"}
	if err := table.Add(&resource.Resource{GroupVersionResource: gr.WithVersion("v1"), Kind: schema.GroupVersionKind{Version: "v1", Kind: "Endpoints"}, Storage: endpoints, Objects: getter.Store(gr)}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		e := &core.Endpoints{}
		e.Name, e.Namespace = fmt.Sprint("e", i), "default"
		key := strings.TrimPrefix(getter.Store(gr).Key(e.Namespace, e.Name), objects.Root)
		if err := getter.Store(gr).Create(t.Context(), key, e, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	stats, err := s.of("endpoints")
	if err != nil || stats.ObjectCount != 3 || stats.EstimatedAverageObjectSizeBytes < 20 || stats.EstimatedAverageObjectSizeBytes > 500 {
		t.Errorf("%+v %v", stats, err)
	}
}

func BenchmarkStep(b *testing.B) {
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	somebody := &user.DefaultInfo{Name: "somebody", Groups: []string{user.AllAuthenticated}}
	for name, c := range map[string]struct {
		limits Limits
		who    user.Info
	}{
		"fair/exempt": {Limits{400, 200, true}, &user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup, user.AllAuthenticated}}},
		"fair/shares": {Limits{400, 200, true}, somebody},
		"plain":       {Limits{400, 200, false}, somebody},
	} {
		b.Run(name, func(b *testing.B) {
			step := control(b, c.limits).Step(next)
			r, w := requestOf(b, c.who), httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				step.ServeHTTP(w, r)
			}
		})
	}
}
