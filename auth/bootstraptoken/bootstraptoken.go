// Package bootstraptoken owns the tokens by which machines join a cluster: secrets
// of type bootstrap.kubernetes.io/token in kube-system
// (https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/).
package bootstraptoken

import (
	"context"
	"crypto/subtle"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/cluster-bootstrap/token/api"
	"k8s.io/cluster-bootstrap/util/secrets"
	"k8s.io/cluster-bootstrap/util/tokens"
)

// Secrets are the live secrets; Secret returns nil if there is none.
type Secrets interface {
	Secret(namespace, name string) (*corev1.Secret, error)
}

// Authenticator takes bootstrap tokens. What is wrong with the secret of one is
// for the log only: whoever guesses tokens learns nothing.
type Authenticator struct {
	Secrets Secrets
	Logger  *slog.Logger
	Now     func() time.Time
}

var _ authenticator.Token = (*Authenticator)(nil)

// AuthenticateToken implements [authenticator.Token].
func (a *Authenticator) AuthenticateToken(_ context.Context, token string) (*authenticator.Response, bool, error) {
	id, secretPart, err := tokens.ParseToken(token)
	if err != nil {
		return nil, false, nil // somebody else's
	}
	name := api.BootstrapTokenSecretPrefix + id
	secret, err := a.Secrets.Secret(metav1.NamespaceSystem, name)
	if secret == nil || err != nil {
		return nil, false, err
	}
	if why := a.refuse(secret, id, secretPart); why != "" {
		a.Logger.Debug("a bootstrap token was refused", "secret", name, "why", why)
		return nil, false, nil
	}
	groups, err := secrets.GetGroups(secret)
	if err != nil {
		a.Logger.Warn("a bootstrap token was refused", "secret", name, "why", "its "+api.BootstrapTokenExtraGroupsKey+" are not valid", "err", err)
		return nil, false, nil
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: api.BootstrapUserPrefix + id, Groups: groups}}, true, nil
}

// refuse says why a token is not accepted; empty: it is.
func (a *Authenticator) refuse(secret *corev1.Secret, id, secretPart string) string {
	switch {
	case secret.DeletionTimestamp != nil:
		return "it is being deleted"
	case secret.Type != corev1.SecretType(api.SecretTypeBootstrapToken):
		return "its type is not " + string(api.SecretTypeBootstrapToken)
	case subtle.ConstantTimeCompare(secret.Data[api.BootstrapTokenSecretKey], []byte(secretPart)) != 1:
		return "its " + api.BootstrapTokenSecretKey + " is another one"
	case secrets.GetData(secret, api.BootstrapTokenIDKey) != id:
		return "its " + api.BootstrapTokenIDKey + " is another one"
	case secrets.HasExpired(secret, a.Now()):
		return "it has expired"
	case secrets.GetData(secret, api.BootstrapTokenUsageAuthentication) != "true":
		return api.BootstrapTokenUsageAuthentication + " is not true"
	}
	return ""
}
