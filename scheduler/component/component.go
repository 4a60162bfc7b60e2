// Package component runs the scheduler for as long as it leads: inside a server
// or as a process of its own, one of any number of which only one decides, by a
// Lease (https://kubernetes.io/docs/concepts/architecture/leases/#leader-election).
package component

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	componentversion "k8s.io/component-base/version"
	schedulerconfig "k8s.io/kubernetes/pkg/scheduler/apis/config"

	"github.com/howdah/howdah/scheduler"
	"github.com/howdah/howdah/scheduler/config"
)

// Options say what a scheduler runs with.
type Options struct {
	Client *rest.Config // whose identity may do what system:kube-scheduler may
	Config *schedulerconfig.KubeSchedulerConfiguration
	Logger *slog.Logger
}

// A Component is a scheduler that may lead or not.
type Component struct {
	options  Options
	client   kubernetes.Interface
	version  *version.Version
	profiles []scheduler.Profile
	identity string
	elector  atomic.Pointer[leaderelection.LeaderElector]

	mu      sync.Mutex
	current *scheduler.Scheduler // while it leads
}

// New checks the configuration; nothing runs yet.
func New(o Options) (*Component, error) {
	client, err := kubernetes.NewForConfig(o.Client)
	if err != nil {
		return nil, fmt.Errorf("make the scheduler's client: %w", err)
	}
	release, err := version.Parse(componentversion.Get().String())
	if err != nil {
		return nil, fmt.Errorf("read the version of Kubernetes: %w", err)
	}
	profiles, err := config.Profiles(o.Config)
	if err != nil {
		return nil, fmt.Errorf("read the scheduler's configuration: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this scheduler: %w", err)
	}
	c := &Component{options: o, client: client, version: release, profiles: profiles, identity: host + "_" + uuid.NewString()}
	// A wrong profile is to be known at the start, not when it leads.
	if _, _, err := c.build(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Component) build() (*scheduler.Scheduler, informers.SharedInformerFactory, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(c.client, 0, informers.WithTransform(strip))
	s, err := scheduler.New(scheduler.Options{
		Client: c.client, Informers: factory, Version: c.version, Profiles: c.profiles, Instance: c.identity,
		InitialBackoff: time.Duration(c.options.Config.PodInitialBackoffSeconds) * time.Second,
		MaxBackoff:     time.Duration(c.options.Config.PodMaxBackoffSeconds) * time.Second,
		Leads:          c.leads, Logger: c.options.Logger,
	})
	return s, factory, err
}

// strip drops what a scheduler never reads and informers would keep.
func strip(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil {
		accessor.SetManagedFields(nil)
	}
	return object, nil
}

// Run leads whenever it can, until ctx ends. It gives the lead back then.
func (c *Component) Run(ctx context.Context) error {
	election := c.options.Config.LeaderElection
	if !election.LeaderElect {
		return c.lead(ctx)
	}
	lock, err := resourcelock.New(election.ResourceLock, election.ResourceNamespace, election.ResourceName, c.client.CoreV1(), c.client.CoordinationV1(),
		resourcelock.ResourceLockConfig{Identity: c.identity})
	if err != nil {
		return fmt.Errorf("make the scheduler's lock: %w", err)
	}
	for ctx.Err() == nil {
		done := make(chan error, 1)
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, Name: election.ResourceName, ReleaseOnCancel: false,
			LeaseDuration: election.LeaseDuration.Duration, RenewDeadline: election.RenewDeadline.Duration, RetryPeriod: election.RetryPeriod.Duration,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) { done <- c.lead(ctx) },
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			return fmt.Errorf("make the scheduler's election: %w", err)
		}
		c.elector.Store(elector)
		// The election outlives ctx until the scheduler has stopped, so that the
		// lead is given back only then.
		if err := c.elect(ctx, elector, done); err != nil {
			c.options.Logger.Warn("the scheduler stopped and looks for the lead again", "err", err)
		}
	}
	return nil
}

// elect runs one election and, when it is won, the time of leading.
func (c *Component) elect(ctx context.Context, elector *leaderelection.LeaderElector, done <-chan error) error {
	electing, stop := context.WithCancel(ctx)
	defer stop()
	elector.Run(electing)
	if ctx.Err() == nil {
		return <-done // the lead was lost
	}
	if elector.IsLeader() {
		err := <-done
		c.release()
		return err
	}
	return nil
}

// release gives the lead back, so that a successor needn't wait for the lease to
// end.
func (c *Component) release() {
	election := c.options.Config.LeaderElection
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	leases := c.client.CoordinationV1().Leases(election.ResourceNamespace)
	lease, err := leases.Get(ctx, election.ResourceName, metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity != c.identity {
		return
	}
	empty, second := "", int32(1)
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = &empty, &second
	if _, err := leases.Update(ctx, lease, metav1.UpdateOptions{}); err != nil {
		c.options.Logger.Debug("the scheduler's lead could not be given back; it ends with its lease", "err", err)
	}
}

// leads tells whether the lead was renewed lately enough to be sure of it.
func (c *Component) leads() bool {
	elector := c.elector.Load()
	return elector == nil || elector.IsLeader() && elector.Check(0) == nil
}

// lead schedules until ctx ends.
func (c *Component) lead(ctx context.Context) error {
	s, factory, err := c.build()
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.current = s
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.current = nil
		c.mu.Unlock()
	}()
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		stop()
		factory.Shutdown()
	}()
	factory.Start(watching.Done())
	c.options.Logger.Debug("scheduling", "identity", c.identity)
	err = s.Run(ctx)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Describe and Collect make the component a collector of the metrics of the
// scheduler that runs, if one does.
func (c *Component) Describe(chan<- *prometheus.Desc) {}

// Collect is prometheus'.
func (c *Component) Collect(metrics chan<- prometheus.Metric) {
	c.mu.Lock()
	current := c.current
	c.mu.Unlock()
	if current != nil {
		for _, collector := range current.Collectors() {
			collector.Collect(metrics)
		}
	}
}
