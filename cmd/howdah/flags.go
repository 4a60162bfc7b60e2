package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	cliflag "k8s.io/component-base/cli/flag"
	netutils "k8s.io/utils/net"

	"github.com/howdah/howdah/server"
)

// endpointVariable keeps a password out of the process list.
const endpointVariable = "HOWDAH_DATASTORE_ENDPOINT"

// serverFlags are the flags of howdah server. Those that kube-apiserver has
// too carry its names, meanings and defaults.
type serverFlags struct {
	aggregationFlags
	kubeletFlags
	encryptionFlags
	auditFlags
	limitFlags

	process     processFlags
	corsOrigins []string
	nodePort    int

	dataDir           string
	datastoreEndpoint string
	historyRetention  time.Duration
	historyMaxBytes   bytesFlag

	bindAddress       net.IP
	securePort        int
	advertiseAddress  net.IP
	tlsCertFile       string
	tlsPrivateKeyFile string
	tlsSANs           []string
	clientCAFile      string

	serviceClusterIPRange string
	serviceNodePortRange  utilnet.PortRange
	eventTTL              time.Duration
	runtimeConfig         cliflag.ConfigurationMap
	admission             admissionFlags

	requestTimeout        time.Duration
	minRequestTimeout     int
	shutdownDelayDuration time.Duration

	authentication authenticationFlags
	authorization  authorizationFlags
	controllers    controllerFlags
	tokens         tokenFlags
	serving        servingFlags
	scheduler      schedulerFlags

	log logFlags
}

func (f *serverFlags) add(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.StringVar(&f.dataDir, "data-dir", defaultDataDir(), "directory for certificates, the administrator's kubeconfig and the embedded database")
	flags.StringVar(&f.datastoreEndpoint, "datastore-endpoint", "", "PostgreSQL to keep the state in, postgres://USER:PASSWORD@HOST[,HOST]/DATABASE?OPTIONS with libpq's options; empty: SQLite in --data-dir. "+endpointVariable+" in the environment sets it too")
	flags.DurationVar(&f.historyRetention, "history-retention", time.Hour, "how long past revisions stay readable for watches and paged lists")
	flags.Var(&f.historyMaxBytes, "history-max-bytes", "size of the database, such as 20Gi, above which past revisions are kept for a shorter time; 0: no limit")

	f.aggregationFlags.add(flags)
	f.kubeletFlags.add(flags)
	f.encryptionFlags.add(flags)
	f.auditFlags.add(flags)
	f.limitFlags.add(flags)

	flags.IPVar(&f.bindAddress, "bind-address", net.IPv4zero, "address to listen on; 0.0.0.0 or :: for all")
	flags.IntVar(&f.securePort, "secure-port", 6443, "port to listen on, HTTPS only; 0 takes a free one")
	flags.IPVar(&f.advertiseAddress, "advertise-address", nil, "address at which members of the cluster reach this server; by default --bind-address or that of the default route")
	flags.StringVar(&f.tlsCertFile, "tls-cert-file", "", "your own serving certificate, followed by its intermediates; read again when it changes")
	flags.StringVar(&f.tlsPrivateKeyFile, "tls-private-key-file", "", "private key of --tls-cert-file")
	flags.StringSliceVar(&f.tlsSANs, "tls-san", nil, "further names and addresses for the serving certificate that Howdah makes")
	flags.StringVar(&f.clientCAFile, "client-ca-file", "", "authorities whose client certificates are accepted besides our own's; read again when it changes")

	flags.StringVar(&f.serviceClusterIPRange, "service-cluster-ip-range", "10.0.0.0/24", "CIDR for Service cluster IPs; two, separated by a comma, of different families for dual stack")
	f.serviceNodePortRange = utilnet.PortRange{Base: 30000, Size: 2768}
	flags.Var(&f.serviceNodePortRange, "service-node-port-range", "ports for Services of type NodePort, both ends included")
	flags.DurationVar(&f.eventTTL, "event-ttl", time.Hour, "how long events are kept")
	f.runtimeConfig = cliflag.ConfigurationMap{}
	flags.Var(&f.runtimeConfig, "runtime-config", "API versions to turn on or off, such as api/alpha=true or batch/v1=false")

	f.admission.add(flags)
	f.process.add(flags)

	flags.IntVar(&f.nodePort, "kubernetes-service-node-port", 0, "port of every node at which the Service kubernetes is reached, too; 0: none")
	flags.StringSliceVar(&f.corsOrigins, "cors-allowed-origins", nil, "regular expressions of the origins whose scripts browsers let call this server, such as //example\\.org(:|$)")
	flags.DurationVar(&f.requestTimeout, "request-timeout", time.Minute, "bound of a request, other than a watch")
	flags.IntVar(&f.minRequestTimeout, "min-request-timeout", 1800, "seconds after which watches end at the earliest; each takes a random time between it and twice it")
	flags.DurationVar(&f.shutdownDelayDuration, "shutdown-delay-duration", 0, "how long /readyz fails, and clients are told to connect elsewhere, before a stop ends connections and watches; more than a load balancer needs to notice")

	f.authentication.add(flags)
	f.authorization.add(flags)
	f.controllers.add(flags)
	f.tokens.add(flags)
	f.serving.add(flags)
	f.scheduler.add(flags)
	f.log.add(flags)
}

func (f *serverFlags) options() (server.Options, error) {
	endpoint := f.datastoreEndpoint
	if endpoint == "" {
		endpoint = os.Getenv(endpointVariable)
	}
	ranges, err := serviceRanges(f.serviceClusterIPRange)
	if err != nil {
		return server.Options{}, err
	}
	for name, value := range map[string]time.Duration{
		"history-retention": f.historyRetention,
		"event-ttl":         f.eventTTL,
		"request-timeout":   f.requestTimeout,
	} {
		if value <= 0 {
			return server.Options{}, fmt.Errorf("--%s must be more than 0", name)
		}
	}
	if f.minRequestTimeout <= 0 {
		return server.Options{}, errors.New("--min-request-timeout must be more than 0")
	}
	if f.shutdownDelayDuration < 0 {
		return server.Options{}, errors.New("--shutdown-delay-duration can't be negative")
	}
	controllers, err := f.controllers.options()
	if err != nil {
		return server.Options{}, err
	}
	admissionOptions, err := f.admission.options()
	if err != nil {
		return server.Options{}, err
	}
	issuers, webhook := f.tokens.options()
	serving, err := f.serving.options()
	if err != nil {
		return server.Options{}, err
	}
	return server.Options{
		Controllers:            controllers,
		DataDir:                f.dataDir,
		DatastoreEndpoint:      endpoint,
		HistoryRetention:       f.historyRetention,
		HistoryMaxBytes:        int64(f.historyMaxBytes),
		BindAddress:            f.bindAddress,
		SecurePort:             f.securePort,
		AdvertiseAddress:       f.advertiseAddress,
		TLSCertFile:            f.tlsCertFile,
		TLSPrivateKeyFile:      f.tlsPrivateKeyFile,
		TLSSANs:                f.tlsSANs,
		ClientCAFile:           f.clientCAFile,
		Authentication:         f.authentication.options,
		Serving:                serving,
		TokenIssuers:           issuers,
		TokenWebhook:           webhook,
		ServiceClusterIPRanges: ranges,
		ServiceNodePortRange:   f.serviceNodePortRange,
		EventTTL:               f.eventTTL,
		RuntimeConfig:          f.runtimeConfig,
		Authorization:          f.authorization.options(),
		Admission:              admissionOptions,
		NoScheduler:            !f.scheduler.run,
		SchedulerConfig:        f.scheduler.config,
		RequestTimeout:         f.requestTimeout,
		MinRequestTimeout:      time.Duration(f.minRequestTimeout) * time.Second,
		ShutdownDelay:          f.shutdownDelayDuration,
		Encryption:             f.encryption,
		Aggregation:            f.aggregation,
		Kubelet:                f.kubelet,
		Audit:                  f.audit,
		Limits:                 &f.limits,
		Profiling:              f.profiling,
		Process:                f.process.options(),
		CORSOrigins:            f.corsOrigins,
		NodePort:               f.nodePort,
	}, nil
}

// serviceRanges reads one CIDR, or two of different families. Their sizes are
// bounded as kube-apiserver bounds them.
func serviceRanges(text string) ([]net.IPNet, error) {
	const flag = "--service-cluster-ip-range"
	var ranges []net.IPNet
	for part := range strings.SplitSeq(text, ",") {
		_, cidr, err := netutils.ParseCIDRSloppy(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		if ones, bits := cidr.Mask.Size(); bits-ones > 64 {
			return nil, fmt.Errorf("%s: %s is larger than a /64", flag, cidr)
		}
		if netutils.RangeSize(cidr) < 8 {
			return nil, fmt.Errorf("%s: %s must have at least 8 addresses", flag, cidr)
		}
		ranges = append(ranges, *cidr)
	}
	if len(ranges) > 2 || len(ranges) == 2 && netutils.IsIPv6CIDR(&ranges[0]) == netutils.IsIPv6CIDR(&ranges[1]) {
		return nil, fmt.Errorf("%s takes one range, or two of which one is IPv4 and the other IPv6", flag)
	}
	return ranges, nil
}
