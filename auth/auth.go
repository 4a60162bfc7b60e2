// Package auth says who is calling. It owns the order in which a request's
// credentials are tried, and the credentials that need nothing but the request:
// client certificates, the headers of a front proxy, and none at all. Tokens are
// checked by the packages below it.
//
// The interfaces are those of k8s.io/apiserver/pkg/authentication/authenticator,
// and the meaning is kube-apiserver's
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/).
package auth

import (
	"k8s.io/apiserver/pkg/authentication/authenticator"

	"github.com/howdah/howdah/auth/serviceaccount"
)

// Options are the settings of who is calling. The zero value of a field means
// the default of the flag that its comment names.
type Options struct {
	DisableAnonymous bool                    // --anonymous-auth=false
	APIAudiences     authenticator.Audiences // --api-audiences; the issuers of service account tokens
	FrontProxy       FrontProxyOptions
	TokenFile        string // --token-auth-file
	BootstrapTokens  bool   // --enable-bootstrap-token-auth
	ServiceAccounts  serviceaccount.Options
}

// Complete fills in defaults and says, with the flag to change, what can't be.
func (o *Options) Complete() error {
	if err := o.FrontProxy.Validate(); err != nil {
		return err
	}
	if err := o.ServiceAccounts.Complete(); err != nil {
		return err
	}
	if len(o.APIAudiences) == 0 {
		o.APIAudiences = o.ServiceAccounts.Issuers
	}
	return nil
}
