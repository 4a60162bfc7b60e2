package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// retryDiscovery is how long after a failed discovery the next one is tried,
// as in kube-apiserver.
const retryDiscovery = 10 * time.Second

// An issuer is one whose discovery document is read once it can be.
type issuer struct {
	url    string
	client *http.Client
	checks checks
	keys   func(http.RoundTripper) http.RoundTripper // around requests for the keys
	log    *slog.Logger
	retry  time.Duration

	found      atomic.Pointer[verifier]
	failure    atomic.Pointer[error] // of the last discovery
	discovered chan struct{}

	run    sync.Once
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

func newIssuer(url string, client *http.Client, checks checks, keys func(http.RoundTripper) http.RoundTripper, log *slog.Logger) *issuer {
	return &issuer{url: url, client: client, checks: checks, keys: keys, log: log, retry: retryDiscovery, discovered: make(chan struct{}), cancel: func() {}}
}

func (i *issuer) start() {
	i.run.Do(func() {
		var ctx context.Context
		ctx, i.cancel = context.WithCancel(context.Background())
		i.ended.Go(func() { i.discover(ctx) })
	})
}

func (i *issuer) stop() {
	i.run.Do(func() {}) // never started: it no longer will
	i.cancel()
	i.ended.Wait()
}

// discover tries until it succeeds or ctx ends.
func (i *issuer) discover(ctx context.Context) {
	retry := time.NewTicker(i.retry)
	defer retry.Stop()
	for {
		found, err := discover(ctx, i.url, i.client, i.checks, i.keys)
		if err == nil {
			i.found.Store(found)
			close(i.discovered)
			i.log.Debug("found the issuer")
			return
		}
		if ctx.Err() == nil {
			err = brief(err)
			i.failure.Store(&err)
			i.log.Error("can't learn the issuer's keys, its tokens are refused until this succeeds", "err", err, "retry", i.retry)
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return
		}
	}
}

// verifier returns nil until the issuer was found.
func (i *issuer) verifier() *verifier { return i.found.Load() }

func (i *issuer) ready() error {
	if i.found.Load() != nil {
		return nil
	}
	if err := i.failure.Load(); err != nil {
		return *err
	}
	return fmt.Errorf("oidc: authenticator for issuer %q is not initialized", i.url)
}

// discover reads an issuer's discovery document
// (https://openid.net/specs/openid-connect-discovery-1_0.html). The document
// must name the same issuer.
func discover(ctx context.Context, url string, client *http.Client, checks checks, keys func(http.RoundTripper) http.RoundTripper) (*verifier, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, client), url)
	if err != nil {
		return nil, err
	}
	var document struct {
		KeysURL string `json:"jwks_uri"`
	}
	if err := provider.Claims(&document); err != nil {
		return nil, fmt.Errorf("error getting JWKS URL: %w", err)
	}
	if document.KeysURL == "" {
		return nil, errors.New("provider did not return JWKS URL")
	}
	keyClient := *client
	keyClient.Transport = keys(client.Transport)
	// The key set outlives this context and takes only the client from it.
	set := oidc.NewRemoteKeySet(oidc.ClientContext(ctx, &keyClient), document.KeysURL)
	return newVerifier(url, set, checks), nil
}
