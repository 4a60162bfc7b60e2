package main

import (
	"context"
	"crypto"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/component-base/configz"
	"k8s.io/controller-manager/pkg/clientbuilder"

	"github.com/howdah/howdah/auth/serviceaccount"
	"github.com/howdah/howdah/controllers"
	"github.com/howdah/howdah/server/component"
	"github.com/howdah/howdah/server/component/reader"
)

func newControllerManager() *cobra.Command {
	component, controllers := &componentFlags{}, &controllerFlags{}
	own := &controllerManagerFlags{}
	command := &cobra.Command{
		Use:   "controller-manager",
		Short: "Run the controllers as a process of their own",
		Long: `Run the controllers as a process of their own, against any API server.

howdah server runs them itself: then it needs --controllers= so that they don't
run there too. Flags are kube-controller-manager's.`,
		Example: `  howdah controller-manager --kubeconfig controller-manager.kubeconfig --use-service-account-credentials`,
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return manageControllers(command, component, controllers, own)
		},
	}
	component.add(command.Flags(), controllersLease, 10257, 20, 30)
	controllers.add(command.Flags())
	command.Flags().StringVar(&own.signingKeyFile, "service-account-private-key-file", "", "RSA or ECDSA private key, PEM, that signs tokens of Secrets; without it they get none")
	command.Flags().StringVar(&own.serviceRange, "service-cluster-ip-range", "", "CIDR of Services, or one of each family, of which nodes' pods get no addresses")
	command.Flags().BoolVar(&own.useServiceAccounts, "use-service-account-credentials", false, "let each controller work as a service account of its own in kube-system")
	return command
}

// controllerManagerFlags are those that howdah server has otherwise.
type controllerManagerFlags struct {
	useServiceAccounts bool
	signingKeyFile     string
	serviceRange       string
}

// complete adds to the options what howdah server knows by itself.
func (f *controllerManagerFlags) complete(o *controllers.Options) error {
	if f.signingKeyFile != "" {
		private, err := keyutil.PrivateKeyFromFile(f.signingKeyFile)
		if err != nil {
			return fmt.Errorf("read --service-account-private-key-file: %w", err)
		}
		signer, ok := private.(crypto.Signer)
		if !ok {
			return fmt.Errorf("--service-account-private-key-file has a %T, which can't sign: use an RSA or ECDSA private key", private)
		}
		keys, err := serviceaccount.NewKeys(signer)
		if err != nil {
			return fmt.Errorf("--service-account-private-key-file: %w", err)
		}
		o.SecretToken = keys.SignSecret
	}
	if f.serviceRange == "" {
		return nil
	}
	for _, text := range strings.Split(f.serviceRange, ",") {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("--service-cluster-ip-range: %w", err)
		}
		o.ServiceRanges = append(o.ServiceRanges, prefix)
	}
	return nil
}

const controllersLease = controllers.LeaseName

// manageControllers runs the controllers until the command's context ends.
func manageControllers(command *cobra.Command, flags *componentFlags, controllerFlags *controllerFlags, own *controllerManagerFlags) error {
	ctx := command.Context()
	log, err := flags.log.logger(command.ErrOrStderr())
	if err != nil {
		return err
	}
	options, err := controllerFlags.options()
	if err != nil {
		return err
	}
	if err := own.complete(options); err != nil {
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
	flags.election.Source = "kube-controller-manager"
	client, err := kubernetes.NewForConfig(rest.AddUserAgent(rest.CopyConfig(config), "leader-election"))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	informed, err := reader.New(rest.AddUserAgent(rest.CopyConfig(config), "shared-informers"))
	if err != nil {
		return err
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
	if own.useServiceAccounts {
		accounts := clientbuilder.NewDynamicClientBuilder(rest.AnonymousClientConfig(config), client.CoreV1(), "kube-system")
		identities = func(name string) (*rest.Config, error) {
			if name == "" {
				return config, nil
			}
			return accounts.Config(name)
		}
	}
	log.Info("running the controllers", "server", config.Host)
	return flags.run(ctx, client, nil, log, func(ctx context.Context) error {
		return controllers.Run(ctx, options, identities, component.NewInformers(informed), log)
	})
}
