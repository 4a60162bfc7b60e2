package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/server/flagz"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/howdah/howdah/auth/rbac"
	"github.com/howdah/howdah/auth/serviceaccount"
	"github.com/howdah/howdah/scheduler/scheduling"
	"github.com/howdah/howdah/server/admission"
	"github.com/howdah/howdah/server/aggregation"
	"github.com/howdah/howdah/server/bootstrap"
	"github.com/howdah/howdah/server/builtin"
	"github.com/howdah/howdah/server/custom"
	"github.com/howdah/howdah/server/discovery"
	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/server/flowcontrol"
	"github.com/howdah/howdah/server/follow"
	"github.com/howdah/howdah/server/health"
	"github.com/howdah/howdah/server/loopback"
	"github.com/howdah/howdah/server/metrics"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/openapi"
	"github.com/howdah/howdah/server/read"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/server/version"
	"github.com/howdah/howdah/server/write"
	"github.com/howdah/howdah/server/zpages"
)

// api is what is behind the flow: the table of resources with its handlers,
// and what runs in the background for them.
type api struct {
	table     *resource.Table
	handler   http.Handler // the flow and everything behind it
	installed *builtin.Installed
	scheduler *scheduling.Scheduling // nil: it runs elsewhere
	custom    *custom.Resources
	others    *aggregation.Services
	followed  *follow.Resources
	bootstrap *bootstrap.Bootstrap
	informers informers.SharedInformerFactory
	flow      *flowcontrol.Control
	health    *health.Checks
	flags     flagz.Reader
	hooks     hooks

	authentication *authentication
	authorizing    *authorizing
	admitting      *admission.Metrics

	handling   chan struct{} // closed when requests through the loopback can be answered
	watchesEnd chan struct{} // closed: all watches end
	loopsEnd   chan struct{} // closed: informers and plugins end
	synced     chan struct{} // closed when the informers are filled
	loops      sync.WaitGroup
	once       sync.Once
	log        *slog.Logger
}

// newAPI fills the table and makes the handlers. Nothing runs yet; the loopback
// works once the store is loaded.
func newAPI(s *Server) (_ *api, err error) {
	a := &api{
		table:      s.table,
		followed:   follow.New(s.table),
		health:     s.health,
		flags:      s.options.Flags,
		log:        s.log,
		hooks:      hooks{health: s.health, done: map[string]func(){}},
		handling:   make(chan struct{}),
		watchesEnd: make(chan struct{}),
		loopsEnd:   make(chan struct{}),
		synced:     make(chan struct{}),
	}
	a.authentication = newAuthentication(s.options.Authentication)
	defer func() {
		if err != nil {
			close(a.loopsEnd)
		}
	}()
	self := loopback.Config(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-a.handling:
			a.handler.ServeHTTP(w, r)
		case <-a.loopsEnd:
		case <-r.Context().Done():
		}
	}),
		&user.DefaultInfo{Name: user.APIServerUser, Groups: []string{user.SystemPrivilegedGroup, user.AllAuthenticated}})
	self.UserAgent = "kube-apiserver" // who changed what, in managedFields, is upstream's name
	client, err := kubernetes.NewForConfig(self)
	if err != nil {
		return nil, fmt.Errorf("make a client for the loopback: %w", err)
	}
	a.informers = informers.NewSharedInformerFactory(client, 10*time.Minute) // upstream's; some of its controllers count on a resync

	if a.authentication.remote, err = newRemoteTokens(s); err != nil {
		return nil, err
	}
	factory, err := objects.NewStorageFactory()
	if err != nil {
		return nil, fmt.Errorf("learn how resources are stored: %w", err)
	}
	apis, err := builtin.APIs(s.options.RuntimeConfig)
	if err != nil {
		return nil, fmt.Errorf("read --runtime-config: %w", err)
	}
	if a.authorizing, err = newAuthorizing(s); err != nil {
		return nil, err
	}
	getter := objects.NewGetter(s.store, factory)
	a.installed, err = builtin.Install(a.table, builtin.Config{
		APIs:         apis,
		Getter:       getter,
		Authorizer:   a.authorizing,
		Policy:       &rbac.Resolver{Engine: a.authorizing.engine, Sync: s.store.Sync},
		Loopback:     self,
		Informers:    a.informers,
		ServiceCIDRs: s.options.ServiceClusterIPRanges,
		NodePorts:    s.options.ServiceNodePortRange,
		EventTTL:     s.options.EventTTL,
		Kubelet:      s.kubelets(),

		Authenticator:   a.authentication,
		APIAudiences:    a.authentication.audiences,
		ServiceAccounts: a.authentication.serviceAccounts(),
	})
	if err != nil {
		return nil, err
	}
	a.authentication.reads(s.store, getter, a.installed.Client, s.log)
	a.bootstrap, err = bootstrap.New(bootstrap.Config{
		Installed:  a.installed,
		Logger:     s.log,
		PublicIP:   s.options.AdvertiseAddress,
		SecurePort: s.Port(),
		NodePort:   s.options.NodePort,
		Trust:      s.trust(),
	})
	if err != nil {
		return nil, err
	}
	s.health.Add(health.Storage, func(context.Context) error { return s.store.Ready() })
	s.health.AddReadiness(health.StorageReadiness, func(context.Context) error { return s.store.Ready() })
	a.flow = flowcontrol.New(flowcontrol.Config{
		Limits: s.options.Limits.Limits, LongRunning: longRunning, Timeout: s.options.RequestTimeout,
		Table: a.table, Client: client, Informers: a.informers,
	})
	a.hooks.add(slices.Concat(storageHooks, definitionHooks, informerHooks)...)
	a.hooks.add(flowHook)
	a.hooks.add(a.bootstrap.Hooks()...)
	a.hooks.add(admission.Hook)
	a.hooks.add(slices.Concat(aggregatorHooks, registrationHooks)...)
	a.admitting = admission.NewMetrics()
	chain, err := admission.New(admission.Config{
		Options:    a.authorizing.admission(s.options.Admission),
		Loopback:   self,
		Informers:  a.informers,
		Objects:    getter,
		APIs:       apis,
		Authorizer: a.authorizing,
		Metrics:    a.admitting,
		Stop:       a.loopsEnd,
	})
	if err != nil {
		return nil, err
	}
	if a.custom, err = newCustom(s, a.table, getter, self); err != nil {
		return nil, err
	}
	if a.others, err = newAggregation(s, a.table, getter, self); err != nil {
		return nil, err
	}
	a.addChecks()
	if a.scheduler, err = newScheduling(s.options, s.log); err != nil {
		return nil, err
	}
	router, err := a.router(s, &dispatch{
		table:  a.table,
		custom: a.custom,
		read:   read.Deps{Store: s.store, MinRequestTimeout: s.options.MinRequestTimeout, Stopping: a.watchesEnd},
		write:  write.Deps{Admission: chain, Authorizer: a.authorizing, Equivalents: a.table},
	})
	if err != nil {
		return nil, err
	}
	a.handler = s.flow(router, a.flow)
	return a, nil
}

// router is the map of the server's paths.
func (a *api) router(s *Server, resources http.Handler) (http.Handler, error) {
	documents, err := openapi.New(a.table.Serves, a.custom, a.others)
	if err != nil {
		return nil, err
	}
	release, err := version.Handler()
	if err != nil {
		return nil, err
	}
	groups, err := discovery.New(a.table, net.JoinHostPort(s.options.AdvertiseAddress.String(), strconv.Itoa(s.Port())), a.others)
	if err != nil {
		return nil, err
	}
	r := chi.NewRouter()
	for _, endpoint := range []string{"healthz", "livez", "readyz"} {
		r.Handle("/"+endpoint, metrics.Path("/"+endpoint, "", s.health.Handler(endpoint)))
		r.Handle("/"+endpoint+"/*", s.health.Handler(endpoint))
	}
	collectors := slices.Concat(s.store.Collectors(), a.authentication.collectors(), a.authorizing.metrics.Collectors(), a.admitting.Collectors(), a.others.Collectors())
	if a.scheduler != nil {
		collectors = append(collectors, a.scheduler)
	}
	measurements, err := metrics.Handler(metrics.Sources{Table: s.table, Size: s.driver.Size, Collectors: collectors})
	if err != nil {
		return nil, err
	}
	r.Handle("/metrics", measurements)
	r.Handle("/metrics/slis", metrics.SLIs())
	if debug := a.flow.Debug(); debug != nil {
		r.Handle(flowcontrol.DebugPath+"*", debug)
	}
	if s.options.Profiling {
		profiling(r)
	}
	r.Handle("/version", release)
	r.Handle("/version/", release)
	r.Handle("/openapi/*", documents)
	r.Get(serviceaccount.ConfigurationPath, a.authentication.serveConfiguration)
	r.Get(serviceaccount.KeysPath, a.authentication.serveKeys)
	for _, path := range []string{"/api", "/api/{version}", "/apis", "/apis/{group}", "/apis/{group}/{version}"} {
		r.Handle(path, a.others.Route(groups))
		r.Handle(path+"/", a.others.Route(groups))
	}
	r.Handle("/api/{version}/*", resources)
	r.Handle("/apis/{group}/{version}/*", a.others.Route(resources))
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) { encode.Error(w, r, nil, encode.UnsupportedMethod()) })
	zpages.Install(r, "kube-apiserver", a.flags, a.paths())
	r.Get("/", a.index)
	return r, nil
}

// start makes what a cluster has from its first start and returns when the
// server is ready.
func (a *api) start(ctx context.Context) error {
	a.hooks.pass(storageHooks...)
	a.authentication.remote.issuers.Start()
	a.custom.Start(wait.ContextForChannel(a.loopsEnd), &a.loops)
	a.hooks.pass(definitionHooks...)
	a.loops.Go(func() { a.followed.Run(wait.ContextForChannel(a.loopsEnd)) })
	a.others.Start(wait.ContextForChannel(a.loopsEnd), &a.loops)
	a.hooks.pass(aggregatorHooks...)
	a.informers.Start(a.loopsEnd)
	a.informers.WaitForCacheSync(ctx.Done()) // plugins look again for theirs only every 100 ms
	close(a.synced)
	a.hooks.pass(informerHooks...)
	a.hooks.pass(admission.Hook)
	a.loops.Go(func() {
		if err := a.flow.Run(wait.ContextForChannel(a.loopsEnd)); err != nil {
			a.log.Error("requests share the server by its mandatory configuration only", "err", err)
		}
	})
	a.hooks.pass(flowHook)
	if err := a.bootstrap.Run(ctx, func(hook string) { a.hooks.pass(hook) }); err != nil {
		return fmt.Errorf("make what every cluster has: %w", err)
	}
	select {
	case <-a.others.Registered():
		a.hooks.pass(registrationHooks...)
	case <-ctx.Done():
		return fmt.Errorf("register this server's own groups: %w", context.Cause(ctx))
	}
	a.bootstrap.Start()
	return nil
}

// stop ends the background loops, the first of which tells the cluster that
// this server is going.
func (a *api) stop(ctx context.Context) error {
	var err error
	a.once.Do(func() {
		err = a.bootstrap.Stop(ctx)
		close(a.loopsEnd)
		a.loops.Wait()
		a.installed.Stop()
		a.informers.Shutdown()
	})
	return err
}
