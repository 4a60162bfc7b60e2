// Package serviceaccount looks after ServiceAccounts and their tokens. [Setup]
// gives every namespace its "default" ServiceAccount
// (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#serviceaccount-controller).
package serviceaccount

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"

	"github.com/howdah/howdah/controllers/reconcile"
)

const account = "default"

type controller struct {
	client     kubernetes.Interface
	namespaces corelisters.NamespaceLister
	accounts   corelisters.ServiceAccountLister
}

// Setup is the serviceaccount-controller.
func Setup(c *reconcile.Controller) error {
	namespaces, accounts := c.Informers.Core().V1().Namespaces(), c.Informers.Core().V1().ServiceAccounts()
	x := &controller{client: c.Client, namespaces: namespaces.Lister(), accounts: accounts.Lister()}
	queue := reconcile.NewQueue(c, "serviceaccount", 1, x.sync)
	if err := c.Handle(namespaces.Informer(), reconcile.Events[*corev1.Namespace]{
		Add:    func(n *corev1.Namespace) { queue.Add(n.Name) },
		Update: func(_, n *corev1.Namespace) { queue.Add(n.Name) },
	}); err != nil {
		return err
	}
	return c.Handle(accounts.Informer(), reconcile.Events[*corev1.ServiceAccount]{
		Delete: func(a *corev1.ServiceAccount) { queue.Add(a.Namespace) },
	})
}

func (x *controller) sync(ctx context.Context, name string) error {
	namespace, err := x.namespaces.Get(name)
	if apierrors.IsNotFound(err) || err == nil && namespace.Status.Phase != corev1.NamespaceActive {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := x.accounts.ServiceAccounts(name).Get(account); !apierrors.IsNotFound(err) {
		return err
	}
	_, err = x.client.CoreV1().ServiceAccounts(name).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{})
	if err == nil || apierrors.IsAlreadyExists(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	return fmt.Errorf("create the ServiceAccount %s/%s: %w", name, account, err)
}
