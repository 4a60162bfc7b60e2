package server

import (
	"context"
	"fmt"
	"log/slog"

	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/howdah/howdah/scheduler/config"
	"github.com/howdah/howdah/scheduler/scheduling"
)

// newScheduling reads the scheduler's configuration; nil: none runs here.
func newScheduling(o Options, log *slog.Logger) (*scheduling.Scheduling, error) {
	if o.NoScheduler {
		return nil, nil
	}
	c, err := config.Load(o.SchedulerConfig)
	if err != nil {
		return nil, fmt.Errorf("--scheduler-config: %w", err)
	}
	return scheduling.New(c, log)
}

// scheduler schedules as a client of this server.
func (c *components) scheduler(s *scheduling.Scheduling) clientComponent {
	config := c.as(&user.DefaultInfo{Name: user.KubeScheduler, Groups: []string{user.AllAuthenticated}}, "")
	config.UserAgent = "kube-scheduler"
	return clientComponent{
		user:  user.KubeScheduler,
		lease: scheduling.LeaseName,
		name:  s.Name(),
		run:   func(ctx context.Context) error { return s.Run(ctx, config, c.informers) },
	}
}
