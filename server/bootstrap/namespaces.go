package bootstrap

import (
	"context"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ensureNamespaces creates the system namespaces that are missing.
func (b *Bootstrap) ensureNamespaces(ctx context.Context) error {
	names := []string{metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease, metav1.NamespaceDefault}
	namespaces := b.client.CoreV1().Namespaces()
	each, ctx := errgroup.WithContext(ctx)
	for _, name := range names {
		each.Go(func() error {
			return ensure(
				func() error { return second(namespaces.Get(ctx, name, metav1.GetOptions{})) },
				func() error {
					namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
					return second(namespaces.Create(ctx, namespace, metav1.CreateOptions{}))
				})
		})
	}
	return each.Wait()
}

// ensure creates what get does not find. Another server may be faster.
func ensure(get, create func() error) error {
	if err := get(); !apierrors.IsNotFound(err) {
		return err
	}
	if err := create(); !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

func second[T any](_ T, err error) error { return err }
