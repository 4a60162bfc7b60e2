package serviceaccount

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/util/retry"

	"github.com/howdah/howdah/controllers/reconcile"
)

// TokenOptions say how Secrets of the type kubernetes.io/service-account-token
// are filled.
type TokenOptions struct {
	Workers int
	RootCA  []byte // PEM
	// Sign makes an account's token for a Secret. Without it nothing is filled,
	// as in a kube-controller-manager without --service-account-private-key-file.
	Sign func(*corev1.ServiceAccount, *corev1.Secret) (string, error)
}

// A tokenKey is a Secret and what it said of its account, which is needed after
// the Secret has gone.
type tokenKey struct {
	namespace, name, account string
	uid, accountUID          types.UID
}

func keyOf(secret *corev1.Secret) tokenKey {
	return tokenKey{
		namespace: secret.Namespace, name: secret.Name, uid: secret.UID,
		account: secret.Annotations[corev1.ServiceAccountNameKey], accountUID: types.UID(secret.Annotations[corev1.ServiceAccountUIDKey]),
	}
}

type tokens struct {
	TokenOptions
	client   kubernetes.Interface
	accounts corelisters.ServiceAccountLister
	secrets  corelisters.SecretLister
}

// Tokens is the serviceaccount-token-controller: it fills token Secrets, and
// deletes them with their account
// (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#token-controller).
func Tokens(o TokenOptions) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		if o.Sign == nil {
			c.Log.Debug("nothing signs tokens of Secrets without --service-account-private-key-file")
			return nil
		}
		accounts, secrets := c.Informers.Core().V1().ServiceAccounts(), c.Informers.Secrets(corev1.SecretTypeServiceAccountToken)
		x := &tokens{TokenOptions: o, client: c.Client, accounts: accounts.Lister(), secrets: secrets.Lister()}
		queue := reconcile.NewQueue(c, "serviceaccount_tokens_secret", o.Workers, x.sync)
		enqueue := func(s *corev1.Secret) {
			if key := keyOf(s); key.account != "" {
				queue.Add(key)
			}
		}
		return errors.Join(
			c.Handle(secrets.Informer(), reconcile.Each(enqueue)),
			c.Handle(accounts.Informer(), reconcile.Events[*corev1.ServiceAccount]{
				Delete: func(a *corev1.ServiceAccount) {
					all, err := x.secrets.Secrets(a.Namespace).List(labels.Everything())
					if err != nil {
						return // informers' listers don't fail
					}
					for _, s := range all {
						if s.Annotations[corev1.ServiceAccountNameKey] == a.Name {
							enqueue(s)
						}
					}
				},
			}),
		)
	}
}

func (x *tokens) sync(ctx context.Context, key tokenKey) error {
	secret, err := x.secrets.Secrets(key.namespace).Get(key.name)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if err != nil || secret.UID != key.uid {
		return x.forget(ctx, key)
	}
	account, err := x.account(ctx, key)
	switch {
	case err != nil:
		return err
	case account == nil:
		err := x.client.CoreV1().Secrets(key.namespace).Delete(ctx, key.name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &key.uid}})
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return nil
		}
		return err
	case !x.lacks(secret):
		return nil
	}
	return x.fill(ctx, account, secret)
}

// account finds a Secret's account; nil if there is none, which the API itself
// must say.
func (x *tokens) account(ctx context.Context, key tokenKey) (*corev1.ServiceAccount, error) {
	fits := func(a *corev1.ServiceAccount, err error) bool {
		return err == nil && (key.accountUID == "" || key.accountUID == a.UID)
	}
	if cached, err := x.accounts.ServiceAccounts(key.namespace).Get(key.account); fits(cached, err) {
		return cached, nil
	}
	account, err := x.client.CoreV1().ServiceAccounts(key.namespace).Get(ctx, key.account, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("look for the account of the Secret %s/%s: %w", key.namespace, key.name, err)
	}
	if !fits(account, err) {
		return nil, nil
	}
	return account, nil
}

// lacks is whether something is to be filled in.
func (x *tokens) lacks(s *corev1.Secret) bool {
	return len(s.Data[corev1.ServiceAccountTokenKey]) == 0 || len(s.Data[corev1.ServiceAccountNamespaceKey]) == 0 ||
		len(x.RootCA) > 0 && !bytes.Equal(s.Data[corev1.ServiceAccountRootCAKey], x.RootCA)
}

func (x *tokens) fill(ctx context.Context, account *corev1.ServiceAccount, cached *corev1.Secret) error {
	secret := cached.DeepCopy()
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	if len(x.RootCA) > 0 {
		secret.Data[corev1.ServiceAccountRootCAKey] = x.RootCA
	}
	if len(secret.Data[corev1.ServiceAccountNamespaceKey]) == 0 {
		secret.Data[corev1.ServiceAccountNamespaceKey] = []byte(secret.Namespace)
	}
	if len(secret.Data[corev1.ServiceAccountTokenKey]) == 0 {
		token, err := x.Sign(account, secret)
		if err != nil {
			return fmt.Errorf("make the token of the Secret %s/%s: %w", secret.Namespace, secret.Name, err)
		}
		secret.Data[corev1.ServiceAccountTokenKey] = []byte(token)
	}
	secret.Annotations[corev1.ServiceAccountNameKey] = account.Name // which it has, or it would have no account
	secret.Annotations[corev1.ServiceAccountUIDKey] = string(account.UID)
	_, err := x.client.CoreV1().Secrets(secret.Namespace).Update(ctx, secret, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // an event will come
	}
	return err
}

// forget drops an account's reference to a Secret that has gone.
func (x *tokens) forget(ctx context.Context, key tokenKey) error {
	refers := func(a *corev1.ServiceAccount) bool {
		return (key.accountUID == "" || key.accountUID == a.UID) && slices.ContainsFunc(a.Secrets, func(r corev1.ObjectReference) bool { return r.Name == key.name })
	}
	if cached, err := x.accounts.ServiceAccounts(key.namespace).Get(key.account); err != nil || !refers(cached) {
		return nil
	}
	client := x.client.CoreV1().ServiceAccounts(key.namespace)
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		account, err := client.Get(ctx, key.account, metav1.GetOptions{})
		if err != nil || !refers(account) {
			return err
		}
		account.Secrets = slices.DeleteFunc(account.Secrets, func(r corev1.ObjectReference) bool { return r.Name == key.name })
		_, err = client.Update(ctx, account, metav1.UpdateOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
