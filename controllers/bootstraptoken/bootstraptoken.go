// Package bootstraptoken looks after bootstrap tokens: [Sign] signs with them the
// cluster's description in kube-public, by which those who join check it, and
// [Clean] deletes expired ones
// (https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/).
package bootstraptoken

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	"k8s.io/cluster-bootstrap/token/jws"
	"k8s.io/cluster-bootstrap/util/secrets"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/reconcile"
)

// Sign is the bootstrap-signer-controller.
func Sign(c *reconcile.Controller) error {
	tokens, configMaps := c.Informers.Secrets(bootstrapapi.SecretTypeBootstrapToken), c.Informers.Core().V1().ConfigMaps()
	queue := reconcile.NewQueue(c, "bootstrap_signer_queue", 1, func(ctx context.Context, _ string) error {
		info, err := configMaps.Lister().ConfigMaps(metav1.NamespacePublic).Get(bootstrapapi.ConfigMapClusterInfo)
		if apierrors.IsNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
		all, err := tokens.Lister().Secrets(metav1.NamespaceSystem).List(labels.Everything())
		if err != nil {
			return err
		}
		data, err := signed(info.Data, all, c.Clock.Now())
		if err != nil || maps.Equal(data, info.Data) {
			return err
		}
		info = info.DeepCopy()
		info.Data = data
		_, err = c.Client.CoreV1().ConfigMaps(info.Namespace).Update(ctx, info, metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
	return errors.Join(
		c.Handle(configMaps.Informer(), reconcile.Each(func(m *corev1.ConfigMap) {
			if m.Namespace == metav1.NamespacePublic && m.Name == bootstrapapi.ConfigMapClusterInfo {
				queue.Add("")
			}
		})),
		c.Handle(tokens.Informer(), reconcile.Each(func(s *corev1.Secret) {
			if s.Namespace == metav1.NamespaceSystem {
				queue.Add("")
			}
		})),
	)
}

// signed is the description with a signature of each token that may sign, and no
// others; as it is if it has nothing to sign.
func signed(data map[string]string, tokens []*corev1.Secret, now time.Time) (map[string]string, error) {
	content, ok := data[bootstrapapi.KubeConfigKey]
	if !ok {
		return data, nil
	}
	result := maps.Clone(data)
	maps.DeleteFunc(result, func(key, _ string) bool { return strings.HasPrefix(key, bootstrapapi.JWSSignatureKeyPrefix) })
	for _, token := range tokens {
		id, secret, ok := signer(token, now)
		if !ok {
			continue
		}
		signature, err := jws.ComputeDetachedSignature(content, id, secret)
		if err != nil {
			return nil, err
		}
		result[bootstrapapi.JWSSignatureKeyPrefix+id] = signature
	}
	return result, nil
}

// signer is a token's two parts if it may sign.
func signer(token *corev1.Secret, now time.Time) (id, secret string, ok bool) {
	named, ok := secrets.ParseName(token.Name)
	id, secret = secrets.GetData(token, bootstrapapi.BootstrapTokenIDKey), secrets.GetData(token, bootstrapapi.BootstrapTokenSecretKey)
	_, expired := secrets.GetExpiration(token, now)
	return id, secret, ok && id != "" && named == id && secret != "" && !expired && secrets.GetData(token, bootstrapapi.BootstrapTokenUsageSigningKey) == "true"
}

type cleaner struct {
	client kubernetes.Interface
	clock  clock.PassiveClock
	tokens corelisters.SecretLister
	queue  *reconcile.Queue[string]
}

// Clean is the token-cleaner-controller.
func Clean(c *reconcile.Controller) error {
	tokens := c.Informers.Secrets(bootstrapapi.SecretTypeBootstrapToken)
	x := &cleaner{client: c.Client, clock: c.Clock, tokens: tokens.Lister()}
	x.queue = reconcile.NewQueue(c, "token_cleaner", 1, x.sync)
	enqueue := func(s *corev1.Secret) {
		if s.Namespace == metav1.NamespaceSystem {
			x.queue.Add(s.Name)
		}
	}
	return c.Handle(tokens.Informer(), reconcile.Events[*corev1.Secret]{
		Add: enqueue, Update: func(_, s *corev1.Secret) { enqueue(s) },
	})
}

func (x *cleaner) sync(ctx context.Context, name string) error {
	token, err := x.tokens.Secrets(metav1.NamespaceSystem).Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	left, expired := secrets.GetExpiration(token, x.clock.Now())
	if !expired {
		if left > 0 {
			x.queue.AddAfter(name, left)
		}
		return nil
	}
	err = x.client.CoreV1().Secrets(token.Namespace).Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &token.UID}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
