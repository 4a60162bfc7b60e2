// Package oidc owns JSON web tokens that an OpenID Connect issuer signed: it
// learns the issuer's keys by discovery, verifies tokens, and turns their
// claims into a user as an apiserver.config.k8s.io JWTAuthenticator says
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens).
//
// Signatures, issuer and expiry are checked by go-oidc; what the claims mean is
// decided here, with kube-apiserver's results and error texts.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Options say whose tokens are accepted and what their claims mean.
type Options struct {
	// Authenticator is checked by [New] as kube-apiserver checks it.
	Authenticator apiserver.JWTAuthenticator
	// SigningAlgorithms are those a token may be signed with, of [SigningAlgorithms]; RS256.
	SigningAlgorithms []string
	// DisallowedIssuers are issuers that others of our authenticators own.
	DisallowedIssuers []string
	// Compiler of CEL expressions; making one is expensive, so several
	// authenticators share it. A new one.
	Compiler authenticationcel.Compiler

	Metrics *Metrics     // NewMetrics("")
	Logger  *slog.Logger // slog.Default()
	Now     func() time.Time
}

// SigningAlgorithms returns the JOSE algorithms that may be chosen: asymmetric
// ones only, so that a public key is never taken for a shared secret
// (https://www.rfc-editor.org/rfc/rfc7518#section-3.1).
func SigningAlgorithms() []string {
	return []string{"ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
}

// An Authenticator accepts the tokens of one issuer. Between [Authenticator.Start]
// and [Authenticator.Stop] it looks for the issuer's keys in the background,
// so that the issuer need not be up when the server starts; until they are
// found its tokens are refused.
type Authenticator struct {
	issuer   *issuer
	mapping  *mapping
	resolver *resolver // nil: no claim can be distributed
	metrics  *Metrics
	now      func() time.Time
	close    func()
}

// New checks the options. Nothing runs yet.
func New(o Options) (*Authenticator, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics("")
	}
	if o.Compiler == nil {
		o.Compiler = authenticationcel.NewDefaultCompiler()
	}
	expressions, errs := validation.CompileAndValidateJWTAuthenticator(o.Compiler, o.Authenticator, o.DisallowedIssuers)
	if err := errs.ToAggregate(); err != nil {
		return nil, err
	}
	if egress := o.Authenticator.Issuer.EgressSelectorType; egress != "" {
		return nil, fmt.Errorf("oidc: egress lookup required with egress selector type %q: this server has no egress selector configuration, remove egressSelectorType to reach the issuer directly", egress)
	}
	algorithms, err := signingAlgorithms(o.SigningAlgorithms)
	if err != nil {
		return nil, err
	}
	client, closeClient, err := newClient(o.Authenticator.Issuer)
	if err != nil {
		return nil, err
	}
	check := checks{algorithms: algorithms, audiences: o.Authenticator.Issuer.Audiences, now: o.Now}
	a := &Authenticator{
		mapping: newMapping(o.Authenticator, expressions),
		metrics: o.Metrics,
		now:     o.Now,
		close:   sync.OnceFunc(closeClient),
		issuer: newIssuer(o.Authenticator.Issuer.URL, client, check, func(next http.RoundTripper) http.RoundTripper {
			return newKeyFetches(next, o.Authenticator.Issuer.URL, o.Metrics)
		}, o.Logger.With("service", "oidc", "issuer", o.Authenticator.Issuer.URL)),
	}
	if claim := o.Authenticator.ClaimMappings.Groups.Claim; claim != "" {
		a.resolver = newResolver(claim, client, check)
	}
	return a, nil
}

func signingAlgorithms(chosen []string) ([]string, error) {
	if len(chosen) == 0 {
		return []string{"RS256"}, nil // the one every provider must have
	}
	for _, algorithm := range chosen {
		if !slices.Contains(SigningAlgorithms(), algorithm) {
			return nil, fmt.Errorf("oidc: unsupported signing alg: %q", algorithm)
		}
	}
	return chosen, nil
}

// Start begins to look for the issuer's keys.
func (a *Authenticator) Start() { a.issuer.start() }

// Stop ends what runs. It may be called twice.
func (a *Authenticator) Stop() {
	a.issuer.stop()
	a.close()
}

// Issuer is the URL of the issuer.
func (a *Authenticator) Issuer() string { return a.issuer.url }

// Ready returns nil once the issuer's keys can be asked for, until then why not.
func (a *Authenticator) Ready() error {
	if err := a.issuer.ready(); err != nil {
		return fmt.Errorf("oidc: authenticator for issuer %q is not healthy: %w", a.issuer.url, err)
	}
	return nil
}

// Discovered is closed once [Authenticator.Ready] returns nil.
func (a *Authenticator) Discovered() <-chan struct{} { return a.issuer.discovered }

// AuthenticateToken returns the user of a token, or false without an error if
// another issuer made it. It implements [authenticator.Token].
func (a *Authenticator) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	if issuer, err := claimedIssuer(token); err != nil || issuer != a.issuer.url {
		return nil, false, nil
	}
	start := a.now()
	info, err := a.authenticate(ctx, token)
	a.metrics.authenticated(a.issuer.url, err == nil, a.now().Sub(start))
	if err != nil {
		return nil, false, err
	}
	return &authenticator.Response{User: info}, true, nil
}

func (a *Authenticator) authenticate(ctx context.Context, token string) (user.Info, error) {
	verifier := a.issuer.verifier()
	if verifier == nil {
		return nil, errors.New("oidc: authenticator not initialized")
	}
	claims, err := verifier.verify(ctx, token)
	if err != nil {
		return nil, fmt.Errorf("oidc: verify token: %w", err)
	}
	if a.resolver != nil {
		if err := a.resolver.expand(ctx, claims); err != nil {
			return nil, fmt.Errorf("oidc: could not expand distributed claims: %w", err)
		}
	}
	return a.mapping.user(ctx, claims)
}
