// Package webhook asks a remote service whose a bearer token is, by TokenReview
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication).
package webhook

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/token/cache"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/webhook"
)

// Options say who is asked. The zero value: nobody.
type Options struct {
	ConfigFile string        // a kubeconfig that names the service
	Version    string        // of TokenReview: v1 or v1beta1, the flag's default
	CacheTTL   time.Duration // how long an answer counts, be it yes or no; 0: not at all. The flag's default is two minutes
}

// New returns the authenticator of the options. Failed calls are repeated with
// kube-apiserver's delays, each call is bounded by 30 seconds.
func New(o Options, audiences authenticator.Audiences) (authenticator.Token, error) {
	client, err := webhookutil.LoadKubeconfig(o.ConfigFile, nil)
	if err != nil {
		return nil, fmt.Errorf("load --authentication-token-webhook-config-file: %w", err)
	}
	tokens, err := webhook.New(client, o.Version, audiences, wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 5})
	if err != nil {
		return nil, err
	}
	return cache.New(tokens, false, o.CacheTTL, o.CacheTTL), nil
}
