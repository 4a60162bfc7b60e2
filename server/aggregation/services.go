package aggregation

import (
	"context"
	"crypto/tls"
	"iter"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	apiregistrationclient "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/typed/apiregistration/v1"

	"github.com/howdah/howdah/server/listers"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/storage"

	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
)

// Config is what aggregation is given.
type Config struct {
	Table *resource.Table
	// Objects has the APIServices, and the Services and EndpointSlices they lead to.
	Objects *objects.Getter
	// Loopback is how APIServices are written.
	Loopback *rest.Config
	// Endpoints finds an address of a Service.
	Endpoints webhook.ServiceResolver
	// Certificate is the client certificate of this server as a front proxy; nil:
	// it has none. Each connection takes the current one.
	Certificate func() (*tls.Certificate, error)
	Logger      *slog.Logger
}

// Services are the APIServices.
type Services struct {
	table       *resource.Table
	store       *objects.Store // nil: APIServices are not served
	client      apiregistrationclient.APIServiceInterface
	endpoints   webhook.ServiceResolver
	certificate *transport.GetCertHolder
	services    corelisters.ServiceLister
	slices      discoverylisters.EndpointSliceLister
	log         *slog.Logger

	ctx     context.Context // of what runs for single services; set by Start
	loops   *sync.WaitGroup
	remote  atomic.Pointer[map[schema.GroupVersion]*remote]
	changes atomic.Uint64 // of what discovery shows
	outages *prometheus.CounterVec

	registered chan struct{} // closed when all built-in group versions have theirs

	mu    sync.Mutex
	known map[string]*apiregistrationv1.APIService // by key
	local chan struct{}                            // something to do for local ones
}

// New prepares; nothing runs and nothing is written.
func New(c Config) (*Services, error) {
	client, err := apiregistrationclient.NewForConfig(c.Loopback)
	if err != nil {
		return nil, err
	}
	s := &Services{
		table: c.Table, store: c.Objects.Store(apiregistration.Resource("apiservices")), client: client.APIServices(),
		endpoints: c.Endpoints, certificate: &transport.GetCertHolder{GetCert: c.Certificate}, log: c.Logger,
		known: map[string]*apiregistrationv1.APIService{}, local: make(chan struct{}, 1), registered: make(chan struct{}), outages: newOutages(),
	}
	services := c.Objects.Store(schema.GroupResource{Resource: "services"})
	slices := c.Objects.Store(schema.GroupResource{Group: "discovery.k8s.io", Resource: "endpointslices"})
	if services == nil || slices == nil {
		s.store = nil // nothing can be reached
	} else {
		s.services, s.slices = listers.Services(services), listers.EndpointSlices(slices)
	}
	s.remote.Store(&map[schema.GroupVersion]*remote{})
	return s, nil
}

// Start follows the APIServices until ctx ends. The store must have been started.
func (s *Services) Start(ctx context.Context, loops *sync.WaitGroup) {
	if s.store == nil {
		close(s.registered)
		return
	}
	s.ctx, s.loops = ctx, loops
	follower := s.store.Collection().Follow(s)
	loops.Go(func() { follower.Run(ctx) })
	loops.Go(func() { s.register(ctx) })
}

// Registered is closed when all of this server's built-in group versions have an
// APIService, after Start.
func (s *Services) Registered() <-chan struct{} { return s.registered }

// Route sends the requests of other API servers to them, and the rest to next.
func (s *Services) Route(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if all := *s.remote.Load(); len(all) > 0 {
			if one := all[versionOf(r.URL.Path)]; one != nil && !s.builtIn(one.gv) {
				one.ServeHTTP(w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// builtIn says whether the group version has resources that no definition made.
func (s *Services) builtIn(gv schema.GroupVersion) bool {
	for _, group := range s.table.Groups() {
		if group.Name != gv.Group {
			continue
		}
		for _, version := range group.Versions {
			if version.GroupVersion == gv && !version.Resources[0].Custom {
				return true
			}
		}
	}
	return false
}

// Replace implements [storage.Keeper], as do the following.
func (s *Services) Replace(all iter.Seq[*storage.Object]) {
	gone := map[string]bool{}
	s.mu.Lock()
	for key := range s.known {
		gone[key] = true
	}
	s.mu.Unlock()
	for o := range all {
		delete(gone, o.Key)
		s.Put(o)
	}
	for key := range gone {
		s.remove(key)
	}
}

func (s *Services) Put(o *storage.Object) {
	obj, err := s.store.DecodeStored(o)
	if err != nil {
		s.log.Error("an APIService can't be read, it stays as it was", "key", o.Key, "err", err)
		return
	}
	service := obj.(*apiregistrationv1.APIService)
	service.ManagedFields = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[o.Key] = service
	gv := schema.GroupVersion{Group: service.Spec.Group, Version: service.Spec.Version}
	old := (*s.remote.Load())[gv]
	switch {
	case service.Spec.Service == nil:
		s.replace(gv, nil)
	case old != nil && old.name == service.Name && equality.Semantic.DeepEqual(old.spec, service.Spec):
		old.update(service)
	default:
		s.replace(gv, newRemote(s, gv, service))
	}
	s.tellLocal() // also for remote ones: the group version may be a definition's
}

func (s *Services) Delete(last *storage.Object) { s.remove(last.Key) }

func (s *Services) remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if gone := s.known[key]; gone != nil {
		delete(s.known, key)
		s.replace(schema.GroupVersion{Group: gone.Spec.Group, Version: gone.Spec.Version}, nil)
		s.tellLocal()
	}
}

// replace puts another remote, or none, in the place of a group version's. The
// caller holds mu.
func (s *Services) replace(gv schema.GroupVersion, next *remote) {
	all := *s.remote.Load()
	old := all[gv]
	if old == nil && next == nil {
		return
	}
	changed := make(map[schema.GroupVersion]*remote, len(all)+1)
	for gv, one := range all {
		changed[gv] = one
	}
	delete(changed, gv)
	if next != nil {
		changed[gv] = next
		next.start(s.ctx, s.loops)
	}
	s.remote.Store(&changed)
	s.changes.Add(1)
	if old != nil {
		old.end()
	}
}

func (s *Services) tellLocal() {
	select {
	case s.local <- struct{}{}:
	default:
	}
}
