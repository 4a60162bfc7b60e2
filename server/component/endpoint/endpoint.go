// Package endpoint owns what a component that is a process of its own serves over
// HTTPS: health, metrics, configuration.
package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/apiserver/pkg/server/flagz"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/cert"
	"k8s.io/component-base/configz"
	"k8s.io/component-base/metrics/legacyregistry"
	_ "k8s.io/component-base/metrics/prometheus/restclient" // rest_client_*
	"k8s.io/component-base/metrics/prometheus/slis"

	"github.com/howdah/howdah/server/health"
	"github.com/howdah/howdah/server/zpages"
)

// An Endpoint serves what operators look at in a component of its own: health,
// metrics and configuration. Who asks is found out by asking the API server
// (TokenReview), or by client certificate; whether they may, too
// (SubjectAccessReview).
type Endpoint struct {
	Name string // of the component

	BindAddress net.IP
	SecurePort  int // 0: nothing is served

	CertFile, KeyFile string // empty: a self-signed certificate made at start, in memory
	ClientCAFile      string // authorities of client certificates; empty: none are accepted

	// Reviews asks the API server who a caller is and what it may do.
	Reviews kubernetes.Interface
	// AlwaysAllow are paths open to everyone; one that ends in * is a prefix.
	AlwaysAllow []string

	Health    *health.Checks
	Log       *slog.Logger
	Profiling bool                    // serve /debug/pprof/
	Paths     map[string]http.Handler // that are this component's own
	Flags     flagz.Reader            // what /flagz shows
}

// Serve serves until ctx ends. /configz shows what was registered with
// k8s.io/component-base/configz.
func (e *Endpoint) Serve(ctx context.Context) error {
	if e.SecurePort == 0 {
		<-ctx.Done()
		return nil
	}
	certificate, err := e.certificate()
	if err != nil {
		return err
	}
	handler, err := e.guard(ctx, e.handler())
	if err != nil {
		return err
	}
	address := net.JoinHostPort(e.BindAddress.String(), fmt.Sprint(e.SecurePort))
	listener, err := tls.Listen("tcp", address, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert,
	})
	if err != nil {
		return fmt.Errorf("listen on %s (choose another --secure-port or --bind-address): %w", address, err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 32 * time.Second, ErrorLog: slog.NewLogLogger(e.Log.Handler(), slog.LevelDebug)}
	defer context.AfterFunc(ctx, func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := server.Shutdown(stopping); err != nil {
			server.Close()
		}
	})()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", address, err)
	}
	return nil
}

func (e *Endpoint) handler() http.Handler {
	paths := &paths{ServeMux: http.NewServeMux()}
	for _, endpoint := range []string{"healthz", "livez", "readyz"} {
		paths.Handle("/"+endpoint, e.Health.Handler(endpoint))
		paths.Handle("/"+endpoint+"/", e.Health.Handler(endpoint))
	}
	paths.Handle("/metrics", legacyregistry.Handler())
	slis.SLIMetricsWithReset{}.Install(paths)
	configz.InstallHandler(paths)
	for path, handler := range e.Paths {
		paths.Handle(path, handler)
	}
	if e.Profiling {
		paths.HandleFunc("/debug/pprof/", pprof.Index)
		paths.HandleFunc("/debug/pprof/profile", pprof.Profile)
		paths.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		paths.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	zpages.Install(paths, e.Name, e.Flags, paths.listed)
	return paths
}

// paths remembers what /statusz lists: paths that aren't subtrees.
type paths struct {
	*http.ServeMux
	listed []string
}

func (p *paths) Handle(path string, handler http.Handler) {
	p.ServeMux.Handle(path, handler)
	if !strings.HasSuffix(path, "/") {
		p.listed = append(p.listed, path)
	}
}

func (e *Endpoint) certificate() (tls.Certificate, error) {
	if e.CertFile != "" || e.KeyFile != "" {
		certificate, err := tls.LoadX509KeyPair(e.CertFile, e.KeyFile)
		if err != nil {
			return certificate, fmt.Errorf("read --tls-cert-file and --tls-private-key-file: %w", err)
		}
		return certificate, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("find a name for the serving certificate: %w", err)
	}
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey(host, []net.IP{net.IPv4(127, 0, 0, 1), e.BindAddress}, []string{"localhost"})
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a serving certificate: %w", err)
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

// How long answers of the API server are believed, and how a question is asked
// again: kube-controller-manager's figures.
const (
	authenticationTTL = 10 * time.Second
	authorizationTTL  = 10 * time.Second
	reviewTimeout     = 10 * time.Second
)

var reviewBackoff = wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 5}

// guard lets through who may.
func (e *Endpoint) guard(ctx context.Context, next http.Handler) (http.Handler, error) {
	authentication := authenticatorfactory.DelegatingAuthenticatorConfig{
		Anonymous:                &apiserver.AnonymousAuthConfig{Enabled: true},
		TokenAccessReviewClient:  e.Reviews.AuthenticationV1(),
		TokenAccessReviewTimeout: reviewTimeout,
		WebhookRetryBackoff:      &reviewBackoff,
		CacheTTL:                 authenticationTTL,
	}
	if e.ClientCAFile != "" {
		authorities, err := dynamiccertificates.NewDynamicCAContentFromFile("client-ca", e.ClientCAFile)
		if err != nil {
			return nil, fmt.Errorf("read --client-ca-file: %w", err)
		}
		go authorities.Run(ctx, 1)
		authentication.ClientCertificateCAContentProvider = authorities
	}
	who, _, err := authentication.New()
	if err != nil {
		return nil, fmt.Errorf("prepare to ask who callers are: %w", err)
	}
	may, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: e.Reviews.AuthorizationV1(),
		AllowCacheTTL:             authorizationTTL,
		DenyCacheTTL:              authorizationTTL,
		WebhookRetryBackoff:       &reviewBackoff,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("prepare to ask what callers may: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e.open(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		caller, ok, err := who.AuthenticateRequest(r)
		if !ok || err != nil {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		decision, reason, err := may.Authorize(r.Context(), authorizer.AttributesRecord{User: caller.User, Verb: strings.ToLower(r.Method), Path: r.URL.Path})
		if decision != authorizer.DecisionAllow {
			e.Log.Debug("refused a request", "user", caller.User.GetName(), "path", r.URL.Path, "reason", reason, "err", err)
			http.Error(w, forbidden(caller.User, r), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}

func forbidden(caller user.Info, r *http.Request) string {
	return fmt.Sprintf("Forbidden: User %q cannot %s path %q.", caller.GetName(), strings.ToLower(r.Method), r.URL.Path)
}

func (e *Endpoint) open(path string) bool {
	return slices.ContainsFunc(e.AlwaysAllow, func(allowed string) bool {
		if prefix, ok := strings.CutSuffix(allowed, "*"); ok {
			return strings.HasPrefix(path, prefix)
		}
		return path == allowed
	})
}
