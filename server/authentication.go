package server

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/client-go/kubernetes"

	"github.com/howdah/howdah/auth"
	"github.com/howdah/howdah/auth/bootstraptoken"
	"github.com/howdah/howdah/auth/serviceaccount"
	"github.com/howdah/howdah/auth/tokenfile"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/storage"
)

// authentication is how this server finds out who is calling. It exists before
// the table of resources, which has reviews and requests of tokens, and works
// once it was opened.
type authentication struct {
	options   auth.Options
	audiences authenticator.Audiences
	metrics   *auth.Metrics
	used      *serviceaccount.Metrics
	remote    *remoteTokens

	objects  *serviceaccount.Objects
	lastUsed serviceaccount.LastUsed

	// Since open:
	chain     authenticator.Request
	keys      *serviceaccount.Keys
	documents *serviceaccount.Documents // nil: the issuer can't have any
}

func newAuthentication(o auth.Options) *authentication {
	return &authentication{options: o, audiences: o.APIAudiences, metrics: auth.NewMetrics(), used: serviceaccount.NewMetrics()}
}

// reads says where the objects are that tokens depend on.
func (a *authentication) reads(store *storage.Store, getter *objects.Getter, client kubernetes.Interface, log *slog.Logger) {
	collection := func(name string) *storage.Collection { return getter.Store(core(name)).Collection() }
	a.objects = &serviceaccount.Objects{
		Accounts: serviceaccount.NewAccounts(collection("serviceaccounts")),
		Secrets:  serviceaccount.NewSecrets(collection("secrets")),
		Pods:     serviceaccount.NewSource(collection("pods")),
		Nodes:    serviceaccount.NewSource(collection("nodes")),
		Sync: func(ctx context.Context) error {
			_, err := store.Sync(ctx)
			return err
		},
	}
	a.lastUsed = noteLastUse(client.CoreV1(), log)
}

// open makes the chain of credentials, in kube-apiserver's order.
func (a *authentication) open(ctx context.Context, s *Server) error {
	var err error
	if a.options.ServiceAccounts.SigningKeyFile != "" {
		a.keys, err = serviceaccount.LoadKeys(a.options.ServiceAccounts)
	} else {
		a.keys, err = ownKeys(ctx, s.tls)
	}
	if err != nil {
		return err
	}
	a.document(s)

	chain := auth.Chain{
		Certificates: &auth.ClientCertificates{Roots: s.tls.ClientCAs, Metrics: a.metrics},
	}
	if s.tls.ProxyCAs() != nil {
		proxy := &auth.FrontProxy{FrontProxyOptions: a.options.FrontProxy, Roots: s.tls.ProxyCAs}
		chain.FrontProxy = authenticator.WrapAudienceAgnosticRequest(a.audiences, proxy)
	}
	forUs := func(t authenticator.Token) authenticator.Token {
		return authenticator.WrapAudienceAgnosticToken(a.audiences, t)
	}
	if a.options.TokenFile != "" {
		tokens, err := tokenfile.Load(a.options.TokenFile, s.log)
		if err != nil {
			return err
		}
		chain.Tokens = append(chain.Tokens, forUs(tokens))
	}
	chain.Tokens = append(chain.Tokens, serviceaccount.NewVerifier(serviceaccount.Config{
		Issuers: a.options.ServiceAccounts.Issuers, Keys: a.keys, Audiences: a.audiences,
		Objects: a.objects, Lookup: !a.options.ServiceAccounts.DontLookup, Used: a.lastUsed, Metrics: a.used,
	}))
	if a.options.BootstrapTokens {
		chain.Tokens = append(chain.Tokens, forUs(&bootstraptoken.Authenticator{Secrets: a.objects.Secrets, Logger: s.log, Now: time.Now}))
	}
	chain.RemoteTokens = a.remote.authenticators()
	chain.Anonymous = anonymous(!a.options.DisableAnonymous, a.remote.issuers.Anonymous())
	a.chain = chain.Authenticator()
	return nil
}

// AuthenticateRequest implements [authenticator.Request]. No request arrives
// before open.
func (a *authentication) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	return a.chain.AuthenticateRequest(r)
}

func (a *authentication) collectors() []prometheus.Collector {
	return append(slices.Concat(a.metrics.Collectors(), a.used.Collectors()), a.remote.issuers.Metrics())
}
