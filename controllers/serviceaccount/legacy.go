package serviceaccount

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/howdah/howdah/auth/serviceaccount"
	"github.com/howdah/howdah/controllers/reconcile"
)

const (
	cleanPeriod = 24 * time.Hour
	day         = "2006-01-02"

	trackingConfigMap = "kube-apiserver-legacy-service-account-token-tracking"
	trackingSince     = "since"
)

// LegacyOptions are those of the legacy-serviceaccount-token-cleaner-controller.
type LegacyOptions struct {
	Unused time.Duration // after how long without use a token becomes invalid, and after as long again goes
	// Names calls visit with the Secrets that a pod names until that is false.
	Names func(pod *corev1.Pod, visit func(name string) bool) bool
}

// CleanLegacy is the legacy-serviceaccount-token-cleaner-controller
// (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#legacy-serviceaccount-token-cleaner).
func CleanLegacy(o LegacyOptions) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		accounts, secrets := c.Informers.Core().V1().ServiceAccounts(), c.Informers.Secrets(corev1.SecretTypeServiceAccountToken)
		if err := c.Need(accounts.Informer(), secrets.Informer()); err != nil {
			return err
		}
		c.Every(cleanPeriod, func(ctx context.Context) {
			since, err := trackedSince(ctx, c)
			if apierrors.IsNotFound(err) {
				return // uses are noted from now on
			}
			if err != nil {
				c.Log.Warn("unused tokens of Secrets are not cleaned, trying again later", "err", err)
				return
			}
			now := c.Clock.Now().UTC()
			if now.Before(since.Add(o.Unused)) {
				return // nobody knows yet what isn't used
			}
			all, err := secrets.Lister().List(labels.Everything())
			if err != nil {
				return // informers' listers don't fail
			}
			named := map[string]sets.Set[string]{} // by pods, in each namespace
			for _, secret := range all {
				account, err := accounts.Lister().ServiceAccounts(secret.Namespace).Get(secret.Annotations[corev1.ServiceAccountNameKey])
				if err != nil {
					continue
				}
				verdict := judge(secret, account, now, o.Unused)
				if verdict == keep {
					continue
				}
				if named[secret.Namespace] == nil {
					if named[secret.Namespace], err = o.named(ctx, c, secret.Namespace); err != nil {
						c.Log.Warn("unused tokens of a namespace are not cleaned, trying again later", "namespace", secret.Namespace, "err", err)
						return
					}
				}
				if named[secret.Namespace].Has(secret.Name) {
					continue
				}
				if err := verdict.carryOut(ctx, c, secret, now); err != nil && ctx.Err() == nil {
					c.Log.Warn("an unused token was not cleaned, trying again later", "secret", secret.Namespace+"/"+secret.Name, "err", err)
				}
			}
		})
		return nil
	}
}

// trackedSince is the first whole day for which servers noted uses of tokens.
func trackedSince(ctx context.Context, c *reconcile.Controller) (time.Time, error) {
	noted, err := c.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, trackingConfigMap, metav1.GetOptions{})
	if err != nil {
		return time.Time{}, fmt.Errorf("find out since when uses are noted: %w", err)
	}
	since, err := time.Parse(day, noted.Data[trackingSince])
	if err != nil {
		return time.Time{}, fmt.Errorf("the ConfigMap %s doesn't say since when uses are noted: %w", trackingConfigMap, err)
	}
	return since.AddDate(0, 0, 1), nil
}

// A verdict is what becomes of a token.
type verdict int

const (
	keep verdict = iota
	invalidate
	remove
)

// judge decides about a token that no pod mounts. Only tokens that were made for
// their account, which then refers to them, ever go.
func judge(secret *corev1.Secret, account *corev1.ServiceAccount, now time.Time, unused time.Duration) verdict {
	limit := now.Add(-unused)
	if !secret.CreationTimestamp.Time.Before(limit) || secret.DeletionTimestamp != nil {
		return keep
	}
	if uid := secret.Annotations[corev1.ServiceAccountUIDKey]; uid != "" && types.UID(uid) != account.UID {
		return keep
	}
	if !slices.ContainsFunc(account.Secrets, func(r corev1.ObjectReference) bool { return r.Name == secret.Name }) {
		return keep
	}
	if last, ok := secret.Labels[serviceaccount.LastUsedLabel]; ok {
		if _, err := time.Parse(day, last); err != nil || last >= limit.Format(day) {
			return keep
		}
	}
	invalid := secret.Labels[serviceaccount.InvalidSinceLabel]
	if _, err := time.Parse(day, invalid); err != nil {
		return invalidate
	}
	if invalid >= limit.Format(day) {
		return keep
	}
	return remove
}

func (v verdict) carryOut(ctx context.Context, c *reconcile.Controller, secret *corev1.Secret, now time.Time) error {
	client := c.Client.CoreV1().Secrets(secret.Namespace)
	var err error
	if v == remove {
		err = client.Delete(ctx, secret.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &secret.ResourceVersion}})
	} else {
		var patch []byte
		if patch, err = json.Marshal(map[string]any{"metadata": map[string]any{
			"uid": secret.UID, "labels": map[string]string{serviceaccount.InvalidSinceLabel: now.Format(day)},
		}}); err != nil {
			return fmt.Errorf("encode a patch: %w", err)
		}
		_, err = client.Patch(ctx, secret.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// named are the Secrets that pods of a namespace name. The informer's pods don't
// tell of all of them.
func (o LegacyOptions) named(ctx context.Context, c *reconcile.Controller, namespace string) (sets.Set[string], error) {
	names := sets.New[string]()
	options := metav1.ListOptions{Limit: 500}
	for {
		pods, err := c.Informers.Reader.CoreV1().Pods(namespace).List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("find out which Secrets pods use: %w", err)
		}
		for i := range pods.Items {
			o.Names(&pods.Items[i], func(name string) bool {
				names.Insert(name)
				return true
			})
		}
		if options.Continue = pods.Continue; options.Continue == "" {
			return names, nil
		}
	}
}
