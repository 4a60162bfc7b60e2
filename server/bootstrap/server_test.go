package bootstrap

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/howdah/howdah/server/builtin"
	"github.com/howdah/howdah/server/loopback"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/read"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/server/write"
	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/postgres"
)

// A testServer is a store with the built-in resources and their handlers, and
// only as much of a server around them as the loopback needs.
type testServer struct {
	client    kubernetes.Interface
	bootstrap *Bootstrap
	installed *builtin.Installed
	stop      func() // as a server that is told to stop
	kill      func() // as one that dies
}

// newServer returns a server on the database, with the ranges of service
// addresses or the usual one. It ends with the test.
func newServer(t testing.TB, endpoint, ip string, ranges ...string) *testServer {
	t.Helper()
	driver, err := postgres.Open(t.Context(), endpoint, slog.New(slog.DiscardHandler))
	must(t, err)
	store, err := storage.New(storage.Options{Driver: driver})
	must(t, err)
	factory, err := objects.NewStorageFactory()
	must(t, err)
	var cidrs []net.IPNet
	if len(ranges) == 0 {
		ranges = []string{"10.0.0.0/24"}
	}
	for _, r := range ranges {
		_, cidr, err := net.ParseCIDR(r)
		must(t, err)
		cidrs = append(cidrs, *cidr)
	}

	ending := make(chan struct{})
	api := &testAPI{table: resource.NewTable(), read: read.Deps{Store: store, Stopping: ending}}
	self := loopback.Config(api, &user.DefaultInfo{Name: user.APIServerUser, Groups: []string{user.SystemPrivilegedGroup}})
	client, err := kubernetes.NewForConfig(self)
	must(t, err)
	informers := informers.NewSharedInformerFactory(client, 10*time.Minute)
	installed, err := builtin.Install(api.table, builtin.Config{
		Getter: objects.NewGetter(store, factory), Loopback: self, Informers: informers, ServiceCIDRs: cidrs,
		NodePorts: utilnet.PortRange{Base: 30000, Size: 100}, // small, so that collisions are likely
	})
	must(t, err)
	b, err := New(Config{
		Installed: installed, PublicIP: net.ParseIP(ip), SecurePort: 6443, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		EndpointInterval: 2 * time.Second,
	})
	must(t, err)
	must(t, store.Start(t.Context()))
	informers.Start(ending)

	s := &testServer{client: client, bootstrap: b, installed: installed}
	var once sync.Once
	end := func(leave bool) {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if leave {
				err = b.Stop(ctx)
			} else {
				b.end()
				b.loops.Wait()
			}
			close(ending)
			installed.Stop()
			informers.Shutdown()
			if err := errors.Join(err, store.Stop(ctx), driver.Close()); err != nil {
				t.Errorf("stop: %v", err)
			}
		})
	}
	s.stop = func() { end(true) }
	s.kill = func() { end(false) }
	t.Cleanup(s.stop)
	return s
}

// run waits until the server is ready.
func (s *testServer) run(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	must(t, s.bootstrap.Run(ctx, nil))
}

type testAPI struct {
	table *resource.Table
	read  read.Deps
	write write.Deps
}

func (a *testAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	factory := request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	info, err := factory.NewRequestInfo(r)
	if err != nil || !info.IsResourceRequest {
		http.NotFound(w, r)
		return
	}
	row := a.table.Lookup(schema.GroupVersionResource{
		Group: info.APIGroup, Version: info.APIVersion, Resource: info.Resource,
	}, info.Subresource)
	if row == nil || !slices.Contains(row.Verbs, info.Verb) {
		http.NotFound(w, r)
		return
	}
	who, _ := loopback.User(r.Context())
	if !row.Namespaced {
		info.Namespace = ""
	}
	ctx := request.WithUser(request.WithRequestInfo(r.Context(), info), who)
	ctx = request.WithNamespace(ctx, info.Namespace)
	var handler http.Handler
	switch info.Verb {
	case "get":
		handler = read.Get(row, a.read)
	case "list":
		handler = read.List(row, a.read)
	case "watch":
		handler = read.Watch(row, a.read)
	case "create":
		handler = write.Create(row, a.write)
	case "update":
		handler = write.Update(row, a.write)
	case "patch":
		handler = write.Patch(row, a.write)
	case "delete":
		handler = write.Delete(row, a.write)
	default:
		http.NotFound(w, r)
		return
	}
	handler.ServeHTTP(w, r.WithContext(ctx))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
