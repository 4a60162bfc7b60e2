package write

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"

	"github.com/howdah/howdah/server/builtin"
	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/sqlite"
)

// A server is the built-in resources over a store, with the write verbs and a
// plain GET, and as much of the request flow as they need.
type server struct {
	table     *resource.Table
	deps      Deps
	http      http.Handler
	store     *storage.Store
	getter    *objects.Getter
	informers informers.SharedInformerFactory // of a guarded server

	mu       sync.Mutex
	handlers map[string]http.Handler

	handlerOf func(row *resource.Resource, verb string, d Deps) http.Handler
}

func newServer(t testing.TB, deps Deps) *server {
	t.Helper()
	driver, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return newServerOn(t, driver, deps)
}

func newServerOn(t testing.TB, driver storage.Driver, deps Deps) *server {
	t.Helper()
	store, err := storage.New(storage.Options{Driver: driver})
	if err != nil {
		t.Fatal(err)
	}
	factory, err := objects.NewStorageFactory()
	if err != nil {
		t.Fatal(err)
	}
	loopback := &restclient.Config{Host: "https://loopback.invalid"}
	client, err := kubernetes.NewForConfig(loopback)
	if err != nil {
		t.Fatal(err)
	}
	_, cidr, _ := net.ParseCIDR("10.0.0.0/24")
	s := &server{
		table: resource.NewTable(), deps: deps, store: store, getter: objects.NewGetter(store, factory),
		handlers: map[string]http.Handler{}, handlerOf: ourHandler,
	}
	installed, err := builtin.Install(s.table, builtin.Config{
		Getter: s.getter, Loopback: loopback,
		Informers: informers.NewSharedInformerFactory(client, 0), ServiceCIDRs: []net.IPNet{*cidr},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		installed.Stop()
		if err := store.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := driver.Close(); err != nil {
			t.Error(err)
		}
	})
	s.http = filters.WithWarningRecorder(http.HandlerFunc(s.serve))
	return s
}

var apiPrefixes = sets.NewString("api", "apis")

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	factory := request.RequestInfoFactory{APIPrefixes: apiPrefixes, GrouplessAPIPrefixes: sets.NewString("api")}
	info, err := factory.NewRequestInfo(r)
	if err != nil {
		encode.Error(w, r, nil, err)
		return
	}
	row := s.table.Lookup(schema.GroupVersionResource{Group: info.APIGroup, Version: info.APIVersion, Resource: info.Resource}, info.Subresource)
	if row == nil {
		http.NotFound(w, r)
		return
	}
	if !row.Namespaced {
		info.Namespace = ""
	}
	ctx := request.WithRequestInfo(r.Context(), info)
	ctx = request.WithUser(ctx, &user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}})
	ctx = request.WithNamespace(ctx, info.Namespace)
	r = r.WithContext(audit.WithAuditContext(ctx)) // upstream's handlers demand one

	s.handler(row, info.Verb).ServeHTTP(w, r)
}

func (s *server) handler(row *resource.Resource, verb string) http.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := row.String() + verb
	handler := s.handlers[key]
	if handler == nil {
		if verb == "get" {
			handler = http.HandlerFunc(get(row))
		} else {
			handler = s.handlerOf(row, verb, s.deps)
		}
		s.handlers[key] = handler
	}
	return handler
}

func ourHandler(row *resource.Resource, verb string, d Deps) http.Handler {
	switch verb {
	case "create":
		return Create(row, d)
	case "update":
		return Update(row, d)
	case "patch":
		return Patch(row, d)
	case "delete":
		return Delete(row, d)
	case "deletecollection":
		return DeleteCollection(row, d)
	}
	panic(verb)
}

func get(row *resource.Resource) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		info, _ := request.RequestInfoFrom(r.Context())
		obj, err := row.Storage.(rest.Getter).Get(r.Context(), info.Name, &metav1.GetOptions{})
		if err != nil {
			encode.Error(w, r, row, err)
			return
		}
		encode.Object(w, r, row, http.StatusOK, obj)
	}
}

// An answer is what the server said.
type answer struct {
	code        int
	contentType string
	warnings    []string
	body        string
}

// call sends a request; contentType may be empty for none.
func (s *server) call(t testing.TB, method, url, contentType, body string, header ...string) answer {
	t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, url, content)
	r.Header.Set("User-Agent", "tester/v1.0 (linux)")
	r.Header.Set("Accept", "application/json")
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.http.ServeHTTP(w, r)
	return answer{code: w.Code, contentType: w.Header().Get("Content-Type"), warnings: w.Header().Values("Warning"), body: strings.TrimSpace(w.Body.String())}
}

// must is call for requests that prepare a test.
func (s *server) must(t testing.TB, method, url, contentType, body string) map[string]any {
	t.Helper()
	a := s.call(t, method, url, contentType, body)
	if a.code >= 300 {
		t.Fatalf("%s %s: %d %s", method, url, a.code, a.body)
	}
	return a.object(t)
}

func (a answer) object(t testing.TB) map[string]any {
	t.Helper()
	var object map[string]any
	decoder := json.NewDecoder(bytes.NewBufferString(a.body))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
	return object
}

// at follows names through objects.
func at(object map[string]any, path ...string) any {
	var v any = object
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}
