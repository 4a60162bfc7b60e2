package write

import (
	"net/http"
	"strconv"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/howdah/howdah/server/admission"
	"github.com/howdah/howdah/server/builtin"
	"github.com/howdah/howdah/server/loopback"
	"github.com/howdah/howdah/server/read"
	"github.com/howdah/howdah/server/resource"
)

// newGuardedServer is a server whose writes pass the default admission plugins,
// in a cluster that has the namespace and service account default.
func newGuardedServer(t testing.TB) *server {
	t.Helper()
	s := newServerOn(t, newMemory(), Deps{})
	s.handlerOf = func(row *resource.Resource, verb string, d Deps) http.Handler {
		switch verb {
		case "list":
			return read.List(row, read.Deps{Store: s.store, Stopping: t.Context().Done()})
		case "watch":
			return read.Watch(row, read.Deps{Store: s.store, Stopping: t.Context().Done()})
		}
		return ourHandler(row, verb, d)
	}
	config := loopback.Config(s.http, &user.DefaultInfo{Name: user.APIServerUser})
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	shared := informers.NewSharedInformerFactory(client, 0)
	chain, err := admission.New(admission.Config{
		Loopback: config, Informers: shared, Objects: s.getter, APIs: builtin.DefaultAPIs(),
		Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(), Metrics: admission.NewMetrics(), Stop: t.Context().Done(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, "POST", "/api/v1/namespaces", jsonType, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default"}}`)
	s.must(t, "POST", "/api/v1/namespaces/default/serviceaccounts", jsonType, `{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}`)
	shared.Start(t.Context().Done())
	shared.WaitForCacheSync(t.Context().Done())
	s.informers = shared
	s.deps.Admission = chain
	s.handlers = map[string]http.Handler{}
	return s
}

// revision of the object that the path names.
func (s *server) revision(t testing.TB, path string) int {
	t.Helper()
	text, _ := at(s.must(t, "GET", path, "", ""), "metadata", "resourceVersion").(string)
	revision, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}
