package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"golang.org/x/sync/singleflight"
)

// maxSources bounds the issuers of distributed claims that are remembered.
const maxSources = 64

// A resolver fetches a claim that a token says is to be had elsewhere
// (https://openid.net/specs/openid-connect-core-1_0.html#AggregatedDistributedClaims).
// Like kube-apiserver it takes distributed claims, not aggregated ones.
type resolver struct {
	claim  string
	client *http.Client
	checks checks

	discoveries singleflight.Group
	mu          sync.Mutex
	verifiers   map[string]*verifier // by issuer
}

func newResolver(claim string, client *http.Client, checks checks) *resolver {
	return &resolver{claim: claim, client: client, checks: checks, verifiers: map[string]*verifier{}}
}

// A source is where a claim is to be had.
type source struct {
	Endpoint    string `json:"endpoint"` // empty: the claim is aggregated
	AccessToken string `json:"access_token"`
}

// expand adds the claim to those of a verified token if it names a source.
func (r *resolver) expand(ctx context.Context, c claims) error {
	if c.has(r.claim) || !c.has("_claim_names") {
		return nil
	}
	var names map[string]string
	if err := c.into("_claim_names", &names); err != nil {
		return fmt.Errorf("oidc: error parsing distributed claim names: %w", err)
	}
	if !c.has("_claim_sources") {
		return errors.New("oidc: no claim sources")
	}
	var sources map[string]source
	if err := c.into("_claim_sources", &sources); err != nil {
		return fmt.Errorf("oidc: could not parse claim sources: %w", err)
	}
	name, ok := names[r.claim]
	if !ok {
		return nil
	}
	from, ok := sources[name]
	if !ok {
		return fmt.Errorf("id token _claim_names contained a source %s missing in _claims_sources", name)
	}
	if from.Endpoint == "" {
		return nil
	}
	value, err := r.resolve(ctx, from)
	if err != nil {
		return err
	}
	c[r.claim] = value
	return nil
}

func (r *resolver) resolve(ctx context.Context, from source) (json.RawMessage, error) {
	token, err := r.fetch(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("while getting distributed claim %q: %w", r.claim, err)
	}
	issuer, err := claimedIssuer(token)
	if err != nil {
		return nil, fmt.Errorf("getting untrusted issuer from endpoint %v failed for claim %q: %w", from.Endpoint, r.claim, err)
	}
	v, err := r.verifier(ctx, issuer)
	if err != nil {
		return nil, fmt.Errorf("verifying untrusted issuer %v failed: %w", issuer, brief(err))
	}
	found, err := v.verify(ctx, token)
	if err != nil {
		return nil, fmt.Errorf("verify distributed claim token: %w", err)
	}
	value, ok := found[r.claim]
	if !ok {
		return nil, fmt.Errorf("jwt returned by distributed claim endpoint %q did not contain claim: %v", from.Endpoint, r.claim)
	}
	return value, nil
}

// fetch gets the token that holds the claim.
func (r *resolver) fetch(ctx context.Context, from source) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from.Endpoint, nil)
	if err != nil {
		return "", fmt.Errorf("while calling %s: %w", from.Endpoint, err)
	}
	if from.AccessToken != "" {
		request.Header.Set("Authorization", "Bearer "+from.AccessToken)
	}
	answer, err := r.client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode < 200 || answer.StatusCode >= 300 {
		return "", fmt.Errorf("error while getting distributed claim JWT: %s", answer.Status)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", fmt.Errorf("could not decode distributed claim response: %w", err)
	}
	return string(body), nil
}

// verifier returns that of an issuer, which is discovered when it is first
// met. Callers at the same time share a discovery.
func (r *resolver) verifier(ctx context.Context, issuer string) (*verifier, error) {
	r.mu.Lock()
	known := r.verifiers[issuer]
	r.mu.Unlock()
	if known != nil {
		return known, nil
	}
	discovery := r.discoveries.DoChan(issuer, func() (any, error) {
		// Others may wait for it too; the client bounds it.
		found, err := discover(context.WithoutCancel(ctx), issuer, r.client, r.checks, func(plain http.RoundTripper) http.RoundTripper { return plain })
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.verifiers) >= maxSources {
			clear(r.verifiers)
		}
		r.verifiers[issuer] = found
		return found, nil
	})
	select {
	case result := <-discovery:
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.(*verifier), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
