package configuration

import (
	"context"
	"errors"
	"sync"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/token/union"

	"github.com/howdah/howdah/auth/oidc"
)

// issuers are those of one state of the configuration.
type issuers struct {
	authenticators []*oidc.Authenticator
	tokens         authenticator.Token

	// inUse is read-locked while a token is authenticated, so that what
	// replaced issuers hold ends after the last request that asks them.
	inUse    sync.RWMutex
	replaced bool
}

func newIssuers(authenticators []*oidc.Authenticator, audiences authenticator.Audiences) *issuers {
	tokens := make([]authenticator.Token, len(authenticators))
	for i, one := range authenticators {
		tokens[i] = one
	}
	return &issuers{authenticators: authenticators, tokens: authenticator.WrapAudienceAgnosticToken(audiences, union.NewFailOnError(tokens...))}
}

// errReplaced: others must be asked.
var errReplaced = errors.New("the issuers were replaced")

func (i *issuers) authenticate(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	i.inUse.RLock()
	defer i.inUse.RUnlock()
	if i.replaced {
		return nil, false, errReplaced
	}
	return i.tokens.AuthenticateToken(ctx, token)
}

func (i *issuers) start() {
	for _, one := range i.authenticators {
		one.Start()
	}
}

// discovered waits for all issuers, or returns why one is not found when ctx ends.
func (i *issuers) discovered(ctx context.Context) error {
	for _, one := range i.authenticators {
		select {
		case <-one.Discovered():
		case <-ctx.Done():
			return one.Ready()
		}
	}
	return nil
}

func (i *issuers) has(url string) bool {
	for _, one := range i.authenticators {
		if one.Issuer() == url {
			return true
		}
	}
	return false
}

// retire waits for requests under way, then stops.
func (i *issuers) retire() {
	i.inUse.Lock()
	i.replaced = true
	i.inUse.Unlock()
	i.stop()
}

func (i *issuers) stop() {
	for _, one := range i.authenticators {
		one.Stop()
	}
}
