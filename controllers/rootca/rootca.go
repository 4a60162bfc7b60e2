// Package rootca publishes to every namespace, in the ConfigMap
// kube-root-ca.crt, the certificates that its pods trust the API server by
// (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-token-volume).
package rootca

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"

	"github.com/howdah/howdah/controllers/reconcile"
)

// What upstream's ConfigMap is called and says of itself.
const (
	configMap             = "kube-root-ca.crt"
	descriptionAnnotation = "kubernetes.io/description"
	description           = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. " +
		"No other usage is guaranteed across distributions of Kubernetes clusters."
)

type controller struct {
	client kubernetes.Interface
	maps   corelisters.ConfigMapLister
	data   map[string]string
}

// Setup is the root-ca-certificate-publisher-controller; rootCA is in PEM.
func Setup(rootCA []byte) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		namespaces, configMaps := c.Informers.Core().V1().Namespaces(), c.Informers.Core().V1().ConfigMaps()
		x := &controller{client: c.Client, maps: configMaps.Lister(), data: map[string]string{"ca.crt": string(rootCA)}}
		queue := reconcile.NewQueue(c, "root_ca_cert_publisher", 1, syncs.measured(c.Clock, x.sync))
		ours := func(m *corev1.ConfigMap) {
			if m.Name == configMap {
				queue.Add(m.Namespace)
			}
		}
		if err := c.Handle(configMaps.Informer(), reconcile.Events[*corev1.ConfigMap]{
			Update: func(_, m *corev1.ConfigMap) { ours(m) },
			Delete: ours,
		}); err != nil {
			return err
		}
		return c.Handle(namespaces.Informer(), reconcile.Events[*corev1.Namespace]{
			Add: func(n *corev1.Namespace) { queue.Add(n.Name) },
			Update: func(_, n *corev1.Namespace) {
				if n.Status.Phase == corev1.NamespaceActive {
					queue.Add(n.Name)
				}
			},
		})
	}
}

func (x *controller) sync(ctx context.Context, namespace string) error {
	published, err := x.maps.ConfigMaps(namespace).Get(configMap)
	switch {
	case apierrors.IsNotFound(err):
		_, err = x.client.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: configMap, Annotations: map[string]string{descriptionAnnotation: description}},
			Data:       x.data,
		}, metav1.CreateOptions{})
		if apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil // the namespace is going or gone
		}
		return err
	case err != nil:
		return err
	case maps.Equal(published.Data, x.data) && published.Annotations[descriptionAnnotation] != "":
		return nil
	}
	published = published.DeepCopy()
	published.Data = x.data
	if published.Annotations == nil {
		published.Annotations = map[string]string{}
	}
	published.Annotations[descriptionAnnotation] = description
	_, err = x.client.CoreV1().ConfigMaps(namespace).Update(ctx, published, metav1.UpdateOptions{})
	return err
}
