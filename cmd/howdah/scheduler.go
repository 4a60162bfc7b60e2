package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/configz"
	"k8s.io/component-base/metrics/legacyregistry"
	schedulerconfig "k8s.io/kubernetes/pkg/scheduler/apis/config"

	"github.com/howdah/howdah/scheduler/config"
	"github.com/howdah/howdah/scheduler/scheduling"
	"github.com/howdah/howdah/server/component"
	"github.com/howdah/howdah/server/component/reader"
)

func newScheduler() *cobra.Command {
	flags := &componentFlags{}
	file := ""
	command := &cobra.Command{
		Use:   "scheduler",
		Short: "Run the scheduler as a process of its own",
		Long: `Run the scheduler as a process of its own, against any API server.

howdah server runs it itself: then it needs --scheduler=false so that it doesn't
run there too. Flags are kube-scheduler's.`,
		Example: `  howdah scheduler --kubeconfig scheduler.kubeconfig --config scheduler.yaml`,
		Args:    cobra.NoArgs,
		RunE:    func(command *cobra.Command, _ []string) error { return schedule(command, flags, file) },
	}
	// Upstream's limit of 50 requests a second would be the limit of pods a second.
	flags.add(command.Flags(), scheduling.LeaseName, 10259, -1, 100)
	command.Flags().StringVar(&file, "config", "", "file with a KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1); what it says of the client and of leader election holds where no flag says otherwise")
	return command
}

// schedule schedules until the command's context ends.
func schedule(command *cobra.Command, flags *componentFlags, file string) error {
	log, err := flags.log.logger(command.ErrOrStderr())
	if err != nil {
		return err
	}
	settings, err := config.Load(file)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	if file != "" {
		flags.adopt(command.Flags().Changed, settings)
	}
	s, err := scheduling.New(settings, log)
	if err != nil {
		return err
	}
	access, err := flags.clientConfig("kube-scheduler")
	if err != nil {
		return err
	}
	client, err := reader.New(access)
	if err != nil {
		return err
	}
	electing, err := kubernetes.NewForConfig(rest.AddUserAgent(rest.CopyConfig(access), "leader-election"))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	external, err := config.External(settings)
	if err != nil {
		return err
	}
	shown, err := configz.New("kubescheduler.config.k8s.io")
	if err != nil {
		return err
	}
	if err := shown.Set(external); err != nil {
		return err
	}
	legacyregistry.RawMustRegister(prometheus.Collector(s))
	flags.election.Source = s.Name()
	log.Info("running the scheduler", "server", access.Host)
	paths := map[string]http.Handler{"/metrics/resources": s.Resources()}
	return flags.run(command.Context(), electing, paths, log, func(ctx context.Context) error {
		return s.Run(ctx, access, component.NewInformers(client))
	})
}

// adopt takes from the file what no flag says.
func (f *componentFlags) adopt(changed func(string) bool, c *schedulerconfig.KubeSchedulerConfiguration) {
	take := func(flag string, set func()) {
		if !changed(flag) {
			set()
		}
	}
	connection, election := c.ClientConnection, c.LeaderElection
	take("kubeconfig", func() { f.kubeconfig = connection.Kubeconfig })
	take("leader-elect", func() { f.leaderElect = election.LeaderElect })
	for flag, value := range map[string]struct {
		to   *time.Duration
		from time.Duration
	}{
		"leader-elect-lease-duration": {&f.election.LeaseDuration, election.LeaseDuration.Duration},
		"leader-elect-renew-deadline": {&f.election.RenewDeadline, election.RenewDeadline.Duration},
		"leader-elect-retry-period":   {&f.election.RetryPeriod, election.RetryPeriod.Duration},
	} {
		take(flag, func() { *value.to = value.from })
	}
	take("leader-elect-resource-name", func() { f.election.Name = election.ResourceName })
	take("leader-elect-resource-namespace", func() { f.election.Namespace = election.ResourceNamespace })
}
