package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/controlplane/controller/clusterauthenticationtrust"
	"k8s.io/kubernetes/pkg/controlplane/controller/defaultservicecidr"
	"k8s.io/kubernetes/pkg/controlplane/reconcilers"
	netutils "k8s.io/utils/net"

	"github.com/howdah/howdah/server/builtin"
)

// Config is what bootstrapping needs to know.
type Config struct {
	Installed *builtin.Installed
	Logger    *slog.Logger

	// PublicIP and SecurePort are where members of the cluster reach this
	// server, as the endpoints of the kubernetes service say.
	PublicIP   net.IP
	SecurePort int
	// Trust is what kube-system/extension-apiserver-authentication tells.
	Trust clusterauthenticationtrust.ClusterAuthenticationInfo
	// ServicePort is the port of the kubernetes service; 0: 443.
	ServicePort int
	// NodePort makes the kubernetes service a NodePort service; 0: it is not.
	NodePort int

	// RepairInterval is how often node ports are compared with services; 0: 3 minutes.
	RepairInterval time.Duration
	// EndpointInterval is how often this server says that it runs; its word
	// counts for half as long again. 0: 10 seconds.
	EndpointInterval time.Duration
}

// Bootstrap is the bootstrapping of one server.
type Bootstrap struct {
	Config
	client    kubernetes.Interface
	log       *slog.Logger
	serviceIP net.IP
	hooks     []hook
	endpoints reconcilers.EndpointReconciler
	cidrs     *defaultservicecidr.Controller
	addresses repairer

	running context.Context // ended by Stop
	end     context.CancelFunc
	loops   sync.WaitGroup
	once    sync.Once
	stopped error
}

// A hook is one thing that readiness waits for, under the name upstream's
// /readyz has for it.
type hook struct {
	name string
	run  func(context.Context) error
}

// New checks the configuration, and asks for the informers it needs.
func New(c Config) (*Bootstrap, error) {
	if c.Installed == nil || c.PublicIP == nil || c.SecurePort == 0 {
		return nil, errors.New("bootstrap needs the installed resources and this server's address")
	}
	setDefault(&c.ServicePort, 443)
	setDefault(&c.RepairInterval, 3*time.Minute)
	setDefault(&c.EndpointInterval, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	ranges := c.Installed.Config.ServiceCIDRs
	serviceIP, err := netutils.GetIndexedIP(&ranges[0], 1)
	if err != nil {
		return nil, fmt.Errorf("the range of service addresses %s has no room for the kubernetes service: %w", &ranges[0], err)
	}

	b := &Bootstrap{Config: c, client: c.Installed.Client, log: c.Logger, serviceIP: serviceIP}
	b.running, b.end = context.WithCancel(context.Background())
	b.endpoints = reconcilers.NewLeaseEndpointReconciler(
		reconcilers.NewEndpointsAdapter(b.client.CoreV1(), b.client.DiscoveryV1()),
		&leases{store: c.Installed.Addresses, lifetime: c.EndpointInterval * 3 / 2})
	if err := b.endpoints.ValidateIP(c.PublicIP); err != nil {
		return nil, fmt.Errorf("%s can't be the address of an endpoint, set --advertise-address to one that the nodes can reach: %w", c.PublicIP, err)
	}
	var secondary net.IPNet
	if len(ranges) == 2 {
		secondary = ranges[1]
	}
	b.cidrs = defaultservicecidr.NewController(ranges[0], secondary, b.client)
	b.addresses = b.newAddressRepair()

	namespaced := make(chan struct{}) // closed when the system namespaces are there
	b.hooks = []hook{
		{"start-system-namespaces-controller", func(ctx context.Context) error {
			if err := b.ensureNamespaces(ctx); err != nil {
				return err
			}
			close(namespaced)
			return nil
		}},
		{"start-service-ip-repair-controllers", b.startRepairs},
		{"rbac/bootstrap-roles", func(ctx context.Context) error { return b.ensurePolicy(ctx, namespaced) }},
		{"scheduling/bootstrap-system-priority-classes", b.ensurePriorityClasses},
		{"priority-and-fairness-config-producer", b.ensureFlowControl},
		{"bootstrap-controller", func(ctx context.Context) error {
			select {
			case <-namespaced:
				return b.ensureService(ctx)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}},
		{"start-kubernetes-service-cidr-controller", b.startServiceCIDR},
		{"start-cluster-authentication-info-controller", b.startTrust},
		{"start-legacy-token-tracking-controller", b.startTokenTracking},
	}
	return b, nil
}

func setDefault[T comparable](value *T, standard T) {
	var zero T
	if *value == zero {
		*value = standard
	}
}

// Hooks are the names of what Run does.
func (b *Bootstrap) Hooks() []string {
	names := make([]string, len(b.hooks))
	for i, h := range b.hooks {
		names[i] = h.name
	}
	return names
}

// Run does everything that readiness waits for, calls done (unless it is nil)
// for each hook, and returns when all are done. What fails is tried again until
// ctx ends.
func (b *Bootstrap) Run(ctx context.Context, done func(hook string)) error {
	began := time.Now()
	all, ctx := errgroup.WithContext(ctx)
	for _, h := range b.hooks {
		all.Go(func() error {
			if err := b.insist(ctx, h); err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
			if done != nil {
				done(h.name)
			}
			b.log.Debug("bootstrap: done", "hook", h.name, "after", time.Since(began))
			return nil
		})
	}
	return all.Wait()
}

const (
	firstRetry = 20 * time.Millisecond // most failures are an informer that has not seen a write yet
	lastRetry  = 2 * time.Second
	quietFor   = time.Second // before a failure is worth a warning
)

// insist runs a hook until it succeeds.
func (b *Bootstrap) insist(ctx context.Context, h hook) error {
	began := time.Now()
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		err := h.run(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		level := slog.LevelDebug
		if time.Since(began) > quietFor {
			level = slog.LevelWarn
		}
		b.log.Log(ctx, level, "bootstrap: failed, trying again", "hook", h.name, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// Start keeps up what Run made, and tells the cluster that this server takes
// requests. It returns at once.
func (b *Bootstrap) Start() {
	b.every(b.EndpointInterval, "kubernetes service", b.reconcileService)
	b.every(time.Minute, "system namespaces", b.ensureNamespaces)
	b.every(time.Minute, "flow control", b.ensureFlowControl)
}

// every runs keep now, and then at the interval, until Stop.
func (b *Bootstrap) every(interval time.Duration, name string, keep func(context.Context) error) {
	b.loop(func(ctx context.Context) {
		ticks := time.NewTicker(interval)
		defer ticks.Stop()
		for {
			if err := keep(ctx); err != nil && ctx.Err() == nil {
				b.log.Warn("bootstrap: failed, trying again later", "what", name, "in", interval, "error", err)
			}
			select {
			case <-ticks.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

func (b *Bootstrap) loop(run func(context.Context)) {
	b.loops.Go(func() { run(b.running) })
}

// Stop ends the loops and takes this server off the kubernetes service, so
// that nobody calls it any more. The server must still answer loopback
// requests. It may be called twice, and before Start.
func (b *Bootstrap) Stop(ctx context.Context) error {
	b.once.Do(func() {
		b.endpoints.StopReconciling()
		b.end()
		left := make(chan error, 1)
		go func() {
			b.loops.Wait()
			left <- b.leaveService()
		}()
		select {
		case b.stopped = <-left:
		case <-ctx.Done():
			b.stopped = fmt.Errorf("bootstrap: the loops did not end in time: %w", context.Cause(ctx))
		}
	})
	return b.stopped
}
