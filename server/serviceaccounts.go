package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strconv"

	"golang.org/x/sync/singleflight"
	"gopkg.in/go-jose/go-jose.v2/jwt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/howdah/howdah/auth/pki"
	"github.com/howdah/howdah/auth/serviceaccount"
	"github.com/howdah/howdah/server/builtin"
)

// serviceAccounts is how TokenRequests are answered.
func (a *authentication) serviceAccounts() *builtin.ServiceAccounts {
	o := a.options.ServiceAccounts
	return &builtin.ServiceAccounts{
		Issuer:                tokenIssuer{a},
		MaxExpiration:         o.MaxExpiration,
		ExtendExpiration:      !o.DontExtend,
		MaxExtendedExpiration: serviceaccount.Extended,
	}
}

// tokenIssuer signs the tokens of upstream's TokenRequest storage.
type tokenIssuer struct{ *authentication }

// GenerateToken implements upstream's serviceaccount.TokenGenerator.
func (i tokenIssuer) GenerateToken(_ context.Context, public *jwt.Claims, private any) (string, error) {
	return i.keys.Sign(private, public, serviceaccount.IssuedBy(i.options.ServiceAccounts.Issuers[0]))
}

// ownKeys is the key that this server or another one of its database made.
func ownKeys(ctx context.Context, p *pki.TLS) (*serviceaccount.Keys, error) {
	signer, err := p.TokenKey(ctx)
	if err != nil {
		return nil, err
	}
	return serviceaccount.NewKeys(signer)
}

// noteLastUse labels secrets whose token was used. Requests that find out at the
// same time share one change, and none waits for it in vain: it is only a note.
func noteLastUse(client corev1client.SecretsGetter, log *slog.Logger) serviceaccount.LastUsed {
	var changes singleflight.Group
	return func(ctx context.Context, secret *corev1.Secret, day string) {
		_, err, _ := changes.Do(string(secret.UID), func() (any, error) {
			patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
				"uid": secret.UID, "labels": map[string]string{serviceaccount.LastUsedLabel: day},
			}})
			if err != nil {
				return nil, err
			}
			_, err = client.Secrets(secret.Namespace).Patch(ctx, secret.Name, types.MergePatchType, patch, metav1.PatchOptions{})
			return nil, err
		})
		if err != nil {
			log.Warn("can't label a service account token with the day of its last use", "err", err, "secret", secret.Namespace+"/"+secret.Name)
		}
	}
}

// document makes the documents by which others check our tokens. An issuer that
// is no https URL has none.
func (a *authentication) document(s *Server) {
	o := a.options.ServiceAccounts
	address := net.JoinHostPort(s.options.AdvertiseAddress.String(), strconv.Itoa(s.Port()))
	var err error
	if a.documents, err = serviceaccount.NewDocuments(o.Issuers[0], o.JWKSURI, address, a.keys); err != nil {
		s.log.Warn("nobody outside can learn how to check service account tokens: the first --service-account-issuer can't have an OpenID configuration", "err", err)
	}
}

// paths are those of the documents.
func (a *authentication) paths() []string {
	if a.documents == nil {
		return nil
	}
	return []string{serviceaccount.ConfigurationPath, serviceaccount.KeysPath}
}

func (a *authentication) serveConfiguration(w http.ResponseWriter, r *http.Request) {
	if a.documents == nil {
		http.NotFound(w, r)
		return
	}
	a.documents.ServeConfiguration(w, r)
}

func (a *authentication) serveKeys(w http.ResponseWriter, r *http.Request) {
	if a.documents == nil {
		http.NotFound(w, r)
		return
	}
	a.documents.ServeKeys(w, r)
}

func core(resource string) schema.GroupResource {
	return schema.GroupResource{Resource: resource}
}
