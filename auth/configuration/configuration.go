// Package configuration owns which issuers of JSON web tokens are accepted: by
// the --oidc-* flags, or by an AuthenticationConfiguration file that is read
// again when it changes
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-authentication-configuration).
// The file may also say for whom anonymous requests are.
package configuration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	reloads "k8s.io/apiserver/pkg/server/options/authenticationconfig/metrics"

	"github.com/howdah/howdah/auth/oidc"
)

// Options say which issuers are accepted. The zero value: none.
type Options struct {
	File string // --authentication-config
	OIDC OIDC   // the --oidc-* flags, if there is no file
	// AnonymousFlag: --anonymous-auth was given, so the file must not decide that.
	AnonymousFlag bool
}

// Validate says which flags don't go together, in kube-apiserver's words.
func (o Options) Validate() error {
	switch {
	case o.File != "" && o.OIDC.Set:
		return errors.New("authentication-config file and oidc-* flags are mutually exclusive")
	case o.File == "" && o.OIDC.Set && (o.OIDC.IssuerURL == "" || o.OIDC.ClientID == ""):
		return errors.New("oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set")
	}
	return nil
}

// Config is what [New] needs.
type Config struct {
	Options
	// Audiences are those of this API; a token of an issuer is for all of them.
	Audiences authenticator.Audiences
	// DisallowedIssuers are those of our own tokens.
	DisallowedIssuers []string
	ServerID          string // in metrics
	Logger            *slog.Logger
}

// Tokens authenticates the tokens of the configured issuers. They are looked
// for between [Tokens.Start] and [Tokens.Stop].
type Tokens struct {
	config   Config
	log      *slog.Logger
	metrics  *oidc.Metrics
	compiler authenticationcel.Compiler

	data      string // of the file: the last that was taken over or found wrong
	anonymous *apiserver.AnonymousAuthConfig
	current   atomic.Pointer[issuers]

	run      sync.Once
	cancel   context.CancelFunc
	watching sync.WaitGroup
	retiring sync.WaitGroup
}

// New reads and checks the configuration. No issuer is asked yet.
func New(c Config) (*Tokens, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	t := &Tokens{
		config:  c,
		log:     c.Logger.With("service", "authentication"),
		metrics: oidc.NewMetrics(c.ServerID),
		cancel:  func() {},
	}
	configuration := &apiserver.AuthenticationConfiguration{}
	var err error
	switch {
	case c.File != "":
		data, err := os.ReadFile(c.File)
		if err == nil {
			configuration, err = decode(data)
		}
		if err != nil {
			return nil, fmt.Errorf("failed to load authentication configuration from file %q: %w", c.File, err)
		}
		t.data, t.anonymous = string(data), configuration.Anonymous
		if t.anonymous != nil && c.AnonymousFlag {
			return nil, errAnonymousTwice
		}
	case c.OIDC.Set:
		if configuration.JWT, err = c.OIDC.authenticators(); err != nil {
			return nil, err
		}
	}
	first, err := t.build(configuration)
	if err != nil {
		return nil, err
	}
	t.current.Store(first)
	return t, nil
}

// build makes the authenticators of a valid configuration.
func (t *Tokens) build(configuration *apiserver.AuthenticationConfiguration) (*issuers, error) {
	if t.compiler == nil && len(configuration.JWT) > 0 {
		t.compiler = authenticationcel.NewDefaultCompiler() // expensive, and most servers need none
	}
	if err := validation.ValidateAuthenticationConfiguration(t.compiler, configuration, t.config.DisallowedIssuers).ToAggregate(); err != nil {
		return nil, fmt.Errorf("invalid authentication configuration: %w", err)
	}
	algorithms := oidc.SigningAlgorithms()
	if t.config.File == "" {
		algorithms = t.config.OIDC.SigningAlgs
	}
	var authenticators []*oidc.Authenticator
	for _, one := range configuration.JWT {
		made, err := oidc.New(oidc.Options{
			Authenticator: one, SigningAlgorithms: algorithms, DisallowedIssuers: t.config.DisallowedIssuers,
			Compiler: t.compiler, Metrics: t.metrics, Logger: t.config.Logger,
		})
		if err != nil {
			return nil, fmt.Errorf("invalid authentication configuration: %w", err)
		}
		authenticators = append(authenticators, made)
	}
	return newIssuers(authenticators, t.config.Audiences), nil
}

// Anonymous is what the file says of requests without credentials; nil: nothing.
func (t *Tokens) Anonymous() *apiserver.AnonymousAuthConfig { return t.anonymous }

// Metrics are those of the issuers.
func (t *Tokens) Metrics() prometheus.Collector { return t.metrics }

// AuthenticateToken implements [authenticator.Token].
func (t *Tokens) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	for {
		response, ok, err := t.current.Load().authenticate(ctx, token)
		if !errors.Is(err, errReplaced) {
			return response, ok, err
		}
	}
}

// Discovered waits until all issuers in force were found, or says which was not
// when ctx ends.
func (t *Tokens) Discovered(ctx context.Context) error { return t.current.Load().discovered(ctx) }

// Start begins to look for the issuers and to watch the file.
func (t *Tokens) Start() {
	t.run.Do(func() {
		var ctx context.Context
		ctx, t.cancel = context.WithCancel(context.Background())
		t.current.Load().start()
		if t.config.File != "" {
			reloads.RegisterMetrics()
			reloads.RecordAuthenticationConfigLastConfigInfo(t.config.ServerID, t.data)
			t.watching.Go(func() { t.watch(ctx) })
		}
	})
}

// Stop ends what runs. It may be called twice.
func (t *Tokens) Stop() {
	t.run.Do(func() {}) // never started: it no longer will
	t.cancel()
	t.watching.Wait()
	t.current.Load().stop()
	t.retiring.Wait()
}
