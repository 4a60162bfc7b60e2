package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apiserver/pkg/server/flagz"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"

	"github.com/howdah/howdah/server/component"
	"github.com/howdah/howdah/server/component/endpoint"
	"github.com/howdah/howdah/server/health"
	"github.com/howdah/howdah/server/zpages"
)

// componentFlags are the flags of a component that runs as a process of its
// own. They carry upstream's names, meanings and defaults.
type componentFlags struct {
	name string       // upstream's of the component
	all  flagz.Reader // these and the component's own

	kubeconfig string
	qps        float32
	burst      int

	bindAddress      net.IP
	securePort       int
	tlsCertFile      string
	tlsKeyFile       string
	clientCAFile     string
	alwaysAllowPaths []string
	profiling        bool

	leaderElect bool
	election    component.Election

	log logFlags
}

// add adds the flags; name is upstream's of the component and of the Lease of its
// leader, port where it serves.
func (f *componentFlags) add(flags *pflag.FlagSet, name string, port int, qps float32, burst int) {
	f.name, f.all = name, zpages.Flags(flags)
	flags.SortFlags = false
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig by which the API server is reached; empty: as a pod of the cluster")
	flags.Float32Var(&f.qps, "kube-api-qps", qps, "requests to the API server a second, for each client")
	flags.IntVar(&f.burst, "kube-api-burst", burst, "requests that may come at once before --kube-api-qps holds them")

	flags.IPVar(&f.bindAddress, "bind-address", net.IPv4zero, "address to serve health checks and metrics on")
	flags.IntVar(&f.securePort, "secure-port", port, "port to serve health checks and metrics on, HTTPS only; 0 serves nothing")
	flags.StringVar(&f.tlsCertFile, "tls-cert-file", "", "serving certificate, followed by its intermediates; by default a self-signed one is made at each start")
	flags.StringVar(&f.tlsKeyFile, "tls-private-key-file", "", "private key of --tls-cert-file")
	flags.StringVar(&f.clientCAFile, "client-ca-file", "", "authorities whose client certificates are accepted by the serving port")
	flags.StringSliceVar(&f.alwaysAllowPaths, "authorization-always-allow-paths", []string{"/healthz", "/readyz", "/livez"}, "paths that everyone may see; one that ends in * is a prefix")
	flags.BoolVar(&f.profiling, "profiling", true, "serve profiles below /debug/pprof/")

	flags.BoolVar(&f.leaderElect, "leader-elect", true, "work only while this process is the leader of all that run the same")
	flags.DurationVar(&f.election.LeaseDuration, "leader-elect-lease-duration", 15*time.Second, "how long a leader may be silent before another takes over")
	flags.DurationVar(&f.election.RenewDeadline, "leader-elect-renew-deadline", 10*time.Second, "how long a leader tries to renew before it stops working")
	flags.DurationVar(&f.election.RetryPeriod, "leader-elect-retry-period", 2*time.Second, "pause between attempts to lead or to renew")
	flags.StringVar(&f.election.Name, "leader-elect-resource-name", name, "name of the Lease")
	flags.StringVar(&f.election.Namespace, "leader-elect-resource-namespace", "kube-system", "namespace of the Lease")

	f.log.add(flags)
}

// clientConfig is the access to the API server.
func (f *componentFlags) clientConfig(userAgent string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", f.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read --kubeconfig: %w", err)
	}
	config.QPS, config.Burst, config.UserAgent = f.qps, f.burst, userAgent
	config.WarningHandler = rest.NoWarnings{} // they are for people
	config.ContentType, config.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	return config, nil
}

// endpoint serves health, metrics and the component's own paths; watchDog is for the
// election, nil if there is none.
func (f *componentFlags) endpoint(client kubernetes.Interface, paths map[string]http.Handler, log *slog.Logger) (serving *endpoint.Endpoint, watchDog *leaderelection.HealthzAdaptor) {
	checks := health.New(log)
	if f.leaderElect {
		watchDog = leaderelection.NewLeaderHealthzAdaptor(20 * time.Second)
		checks.Add(watchDog.Name(), contextCheck(watchDog))
	}
	return &endpoint.Endpoint{
		Name: f.name, Flags: f.all,
		BindAddress: f.bindAddress, SecurePort: f.securePort,
		CertFile: f.tlsCertFile, KeyFile: f.tlsKeyFile, ClientCAFile: f.clientCAFile,
		Reviews: client, AlwaysAllow: f.alwaysAllowPaths, Health: checks, Log: log, Profiling: f.profiling, Paths: paths,
	}, watchDog
}
