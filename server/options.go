package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/server/flagz"
	serveroptions "k8s.io/apiserver/pkg/server/options"
	netutils "k8s.io/utils/net"

	"github.com/howdah/howdah/auth"
	"github.com/howdah/howdah/auth/authorization"
	"github.com/howdah/howdah/auth/configuration"
	"github.com/howdah/howdah/auth/webhook"
	"github.com/howdah/howdah/controllers"
	"github.com/howdah/howdah/server/admission"
)

// Options say how one Howdah server runs. The zero value of a field means the
// default that its comment names; flags carry kube-apiserver's names where it
// has the same setting.
type Options struct {
	// DataDir keeps certificates, the admin kubeconfig and the SQLite database.
	DataDir string
	// DatastoreEndpoint is a postgres:// URL; empty: SQLite in DataDir.
	DatastoreEndpoint string

	BindAddress      net.IP // 0.0.0.0
	SecurePort       int    // 0 takes a free port
	AdvertiseAddress net.IP // where members of the cluster reach this server; by default BindAddress, or the address of the default route

	TLSCertFile       string // with TLSPrivateKeyFile: the user's own serving certificate
	TLSPrivateKeyFile string
	TLSSANs           []string // further names and addresses in our own serving certificate
	ClientCAFile      string   // further authorities whose client certificates get in

	Serving ServingOptions

	Authentication auth.Options          // who is calling
	TokenIssuers   configuration.Options // whose JSON web tokens say so
	TokenWebhook   webhook.Options       // and who is asked about other tokens

	ServiceClusterIPRanges []net.IPNet       // 10.0.0.0/24; a second one makes the cluster dual stack
	ServiceNodePortRange   utilnet.PortRange // 30000-32767
	EventTTL               time.Duration     // 1h
	RuntimeConfig          map[string]string // API versions to turn on or off, as --runtime-config
	Admission              admission.Options
	Aggregation            AggregationOptions
	Kubelet                KubeletOptions
	ownFrontProxy          bool // its certificate is our own

	Authorization authorization.Options // Node and RBAC
	Encryption    EncryptionOptions
	Audit         *serveroptions.AuditOptions // nil: no audit log
	Limits        *LimitOptions               // nil: DefaultLimits
	Profiling     bool                        // serve /debug/pprof/
	Flags         flagz.Reader                // what /flagz shows; nil: there is none

	Process     ProcessOptions
	CORSOrigins []string // regular expressions of origins whose scripts may call; --cors-allowed-origins
	NodePort    int      // of the kubernetes Service; 0: it has none

	HistoryRetention  time.Duration // 1h
	HistoryMaxBytes   int64         // size of the database above which less history is kept; 0: no limit
	RequestTimeout    time.Duration // 60s, for all but watches and other long-running requests
	MinRequestTimeout time.Duration // 30m; watches end at random between it and twice it
	ShutdownDelay     time.Duration // how long /readyz fails before requests are refused
	ShutdownTimeout   time.Duration // 10s, for what is under way when stopping

	// Controllers say what the controllers do that run in this server while it
	// leads; nil: none run.
	Controllers     *controllers.Options
	NoScheduler     bool   // pods are scheduled by other processes
	SchedulerConfig string // file with a KubeSchedulerConfiguration; empty: its defaults

	Logger *slog.Logger // slog.Default()
}

func (o *Options) complete() error {
	if o.DataDir == "" {
		return errors.New("a data directory is needed: --data-dir")
	}
	if (o.TLSCertFile == "") != (o.TLSPrivateKeyFile == "") {
		return errors.New("--tls-cert-file and --tls-private-key-file go together")
	}
	if err := errors.Join(o.Encryption.check(), o.completeLimits(), checkOrigins(o.CORSOrigins)); err != nil {
		return err
	}
	if o.SecurePort < 0 || o.SecurePort > 65535 {
		return fmt.Errorf("--secure-port %d is not between 0 (any free port) and 65535", o.SecurePort)
	}
	if err := o.Authorization.Validate(); err != nil {
		return err
	}
	if err := o.Authentication.Complete(); err != nil {
		return err
	}
	o.completeFrontProxy()
	if err := o.Kubelet.complete(); err != nil {
		return err
	}
	if err := o.TokenIssuers.Validate(); err != nil {
		return err
	}
	if o.BindAddress == nil {
		o.BindAddress = net.IPv4zero
	}
	if o.AdvertiseAddress == nil {
		address, err := utilnet.ResolveBindAddress(o.BindAddress)
		if err != nil {
			// A machine without a network still serves itself.
			address = net.IPv4(127, 0, 0, 1)
		}
		o.AdvertiseAddress = address
	}
	if len(o.ServiceClusterIPRanges) == 0 {
		_, cidr, err := netutils.ParseCIDRSloppy("10.0.0.0/24")
		if err != nil {
			return err
		}
		o.ServiceClusterIPRanges = []net.IPNet{*cidr}
	}
	if o.ServiceNodePortRange.Size == 0 {
		o.ServiceNodePortRange = utilnet.PortRange{Base: 30000, Size: 2768}
	}
	setDefault(&o.EventTTL, time.Hour)
	setDefault(&o.HistoryRetention, time.Hour)
	setDefault(&o.RequestTimeout, time.Minute)
	setDefault(&o.MinRequestTimeout, 30*time.Minute)
	setDefault(&o.ShutdownTimeout, 10*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return o.Serving.check(o.Logger)
}

func setDefault(value *time.Duration, standard time.Duration) {
	if *value == 0 {
		*value = standard
	}
}

// serviceIPs are the addresses of the kubernetes Service: the first of each range.
func (o *Options) serviceIPs() []net.IP {
	var ips []net.IP
	for _, cidr := range o.ServiceClusterIPRanges {
		if ip, err := netutils.GetIndexedIP(&cidr, 1); err == nil {
			ips = append(ips, ip)
		}
	}
	return ips
}
