// Package scheduling runs the scheduler by a KubeSchedulerConfiguration, inside
// a server or in a process of its own, while it leads.
package scheduling

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	componentversion "k8s.io/component-base/version"
	schedulerconfig "k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/metrics/resources"

	"github.com/howdah/howdah/scheduler"
	"github.com/howdah/howdah/scheduler/config"
	"github.com/howdah/howdah/scheduler/extender"
	"github.com/howdah/howdah/server/component"
)

// LeaseName is the Lease that kube-scheduler's leaders hold.
const LeaseName = "kube-scheduler"

// Scheduling is a scheduler that may run or not. It is a collector of the
// metrics of the one that runs.
type Scheduling struct {
	config    *schedulerconfig.KubeSchedulerConfiguration
	profiles  []scheduler.Profile
	extenders []*extender.Extender
	version   *version.Version
	instance  string
	log       *slog.Logger

	mu      sync.Mutex
	current *scheduler.Scheduler
	pods    corelisters.PodLister
}

// New checks the configuration; nothing runs yet.
func New(c *schedulerconfig.KubeSchedulerConfiguration, log *slog.Logger) (*Scheduling, error) {
	profiles, err := config.Profiles(c)
	if err != nil {
		return nil, fmt.Errorf("read the scheduler's configuration: %w", err)
	}
	extenders, err := config.Extenders(c)
	if err != nil {
		return nil, fmt.Errorf("read the scheduler's configuration: %w", err)
	}
	release, err := version.Parse(componentversion.Get().String())
	if err != nil {
		return nil, fmt.Errorf("read the version of Kubernetes: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this scheduler: %w", err)
	}
	return &Scheduling{config: c, profiles: profiles, extenders: extenders, version: release, instance: host + "_" + uuid.NewString(), log: log}, nil
}

// Name is that of the first profile, by which upstream's events of leader election
// name their source.
func (s *Scheduling) Name() string { return s.profiles[0].Name }

// Run schedules until ctx ends. It must run in one process of a cluster at a
// time, see [component.Lead]: nothing is written when that can't be said of this one.
func (s *Scheduling) Run(ctx context.Context, access *rest.Config, shared *component.Informers) error {
	access = component.Fenced(ctx, access)
	transport, err := rest.HTTPClientFor(access)
	if err != nil {
		return fmt.Errorf("make the scheduler's client: %w", err)
	}
	client, err := kubernetes.NewForConfigAndClient(access, transport)
	if err != nil {
		return fmt.Errorf("make the scheduler's client: %w", err)
	}
	binder, err := newBinder(access, transport)
	if err != nil {
		return err
	}
	factory, release := shared.Use()
	defer release()
	one, err := s.build(ctx, client, binder, factory)
	if err != nil {
		return err
	}
	s.set(one, factory.Core().V1().Pods().Lister())
	defer s.set(nil, nil)
	factory.Run()
	if err := one.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (s *Scheduling) build(ctx context.Context, client kubernetes.Interface, binder *binder, factory informers.SharedInformerFactory) (*scheduler.Scheduler, error) {
	return scheduler.New(scheduler.Options{
		Client: client, Bind: binder.bind, Informers: factory, Version: s.version, Profiles: s.profiles, Extenders: s.extenders, Instance: s.instance,
		InitialBackoff: time.Duration(s.config.PodInitialBackoffSeconds) * time.Second,
		MaxBackoff:     time.Duration(s.config.PodMaxBackoffSeconds) * time.Second,
		Leads:          func() bool { return component.Leads(ctx) }, Logger: s.log,
	})
}

func (s *Scheduling) set(one *scheduler.Scheduler, pods corelisters.PodLister) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.pods = one, pods
}

// Resources serves what pods request and their limits (kube_pod_resource_*); nothing
// while no scheduler runs here.
func (s *Scheduling) Resources() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		pods := s.pods
		s.mu.Unlock()
		if pods != nil {
			resources.Handler(pods).ServeHTTP(w, r)
		}
	})
}

// Describe leaves open which metrics there are.
func (s *Scheduling) Describe(chan<- *prometheus.Desc) {}

// Collect is for Prometheus.
func (s *Scheduling) Collect(metrics chan<- prometheus.Metric) {
	s.mu.Lock()
	current := s.current
	s.mu.Unlock()
	if current != nil {
		for _, collector := range current.Collectors() {
			collector.Collect(metrics)
		}
	}
}
