package server

import (
	"fmt"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"

	"github.com/howdah/howdah/auth"
	"github.com/howdah/howdah/auth/configuration"
	"github.com/howdah/howdah/auth/webhook"
)

// remoteTokens are the bearer tokens that others issue: of OpenID Connect
// issuers, and those that a webhook knows.
type remoteTokens struct {
	issuers *configuration.Tokens
	webhook authenticator.Token // nil: none
}

// newRemoteTokens reads the configuration. Nobody is asked yet.
func newRemoteTokens(s *Server) (*remoteTokens, error) {
	r, audiences := &remoteTokens{}, s.options.Authentication.APIAudiences
	var err error
	r.issuers, err = configuration.New(configuration.Config{
		Options: s.options.TokenIssuers, Audiences: audiences, DisallowedIssuers: s.options.Authentication.ServiceAccounts.Issuers,
		ServerID: serverID(), Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	if s.options.TokenWebhook.ConfigFile != "" {
		if r.webhook, err = webhook.New(s.options.TokenWebhook, audiences); err != nil {
			return nil, fmt.Errorf("set up the token webhook: %w", err)
		}
	}
	return r, nil
}

// authenticators are in the order in which kube-apiserver asks them.
func (r *remoteTokens) authenticators() []authenticator.Token {
	all := []authenticator.Token{r.issuers}
	if r.webhook != nil {
		all = append(all, r.webhook)
	}
	return all
}

// anonymous says for which requests no credentials are needed: what the
// configuration file says, else the flag. It returns nil for none.
func anonymous(flag bool, file *apiserver.AnonymousAuthConfig) authenticator.Request {
	if file == nil {
		file = &apiserver.AnonymousAuthConfig{Enabled: flag}
	}
	if !file.Enabled {
		return nil
	}
	var paths []string
	for _, condition := range file.Conditions {
		paths = append(paths, condition.Path)
	}
	return auth.Anonymous{Paths: paths}
}
