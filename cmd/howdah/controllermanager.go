package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/configz"
	"k8s.io/controller-manager/pkg/clientbuilder"

	"github.com/howdah/howdah/controllers"
	"github.com/howdah/howdah/server/component"
)

func newControllerManager() *cobra.Command {
	component, controllers := &componentFlags{}, &controllerFlags{}
	useServiceAccountCredentials := false
	command := &cobra.Command{
		Use:   "controller-manager",
		Short: "Run the controllers as a process of their own",
		Long: `Run the controllers as a process of their own, against any API server.

howdah server runs them itself: then it needs --controllers= so that they don't
run there too. Flags are kube-controller-manager's.`,
		Example: `  howdah controller-manager --kubeconfig controller-manager.kubeconfig --use-service-account-credentials`,
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return manageControllers(command, component, controllers, useServiceAccountCredentials)
		},
	}
	component.add(command.Flags(), controllersLease, 10257, 20, 30)
	controllers.add(command.Flags())
	command.Flags().BoolVar(&useServiceAccountCredentials, "use-service-account-credentials", false, "let each controller work as a service account of its own in kube-system")
	return command
}

const controllersLease = controllers.LeaseName

// manageControllers runs the controllers until the command's context ends.
func manageControllers(command *cobra.Command, flags *componentFlags, controllerFlags *controllerFlags, useServiceAccounts bool) error {
	ctx := command.Context()
	log, err := flags.log.logger(command.ErrOrStderr())
	if err != nil {
		return err
	}
	options, err := controllerFlags.options()
	if err != nil {
		return err
	}
	config, err := flags.clientConfig("kube-controller-manager")
	if err != nil {
		return err
	}
	if len(options.RootCA) == 0 {
		if err := rest.LoadTLSFiles(config); err != nil {
			return fmt.Errorf("read the certificates of --kubeconfig: %w", err)
		}
		options.RootCA = config.CAData
	}
	client, err := kubernetes.NewForConfig(rest.AddUserAgent(rest.CopyConfig(config), "leader-election"))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	external, err := options.External()
	if err != nil {
		return err
	}
	shown, err := configz.New("kubecontrollermanager.config.k8s.io")
	if err != nil {
		return err
	}
	if err := shown.Set(external); err != nil {
		return err
	}
	identities := func(string) (*rest.Config, error) { return config, nil }
	if useServiceAccounts {
		identities = clientbuilder.NewDynamicClientBuilder(rest.AnonymousClientConfig(config), client.CoreV1(), "kube-system").Config
	}
	log.Info("running the controllers", "server", config.Host)
	return flags.run(ctx, client, log, func(ctx context.Context) error {
		return controllers.Run(ctx, options, identities, component.NewInformers(client), log)
	})
}
