package rootca

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	certificateslisters "k8s.io/client-go/listers/certificates/v1"

	"github.com/howdah/howdah/controllers/reconcile"
)

// signer is whose ClusterTrustBundle has what the API server is trusted by.
const signer = "kubernetes.io/kube-apiserver-serving"

type bundle struct {
	client  kubernetes.Interface
	bundles certificateslisters.ClusterTrustBundleLister
	name    string
	rootCA  string
}

// Bundle is the kube-apiserver-serving-clustertrustbundle-publisher-controller:
// it publishes the same certificates in a ClusterTrustBundle, whose name tells
// them, and deletes the signer's others
// (https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#ctb-signer-linked).
func Bundle(rootCA []byte) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		bundles := c.Informers.Certificates().V1().ClusterTrustBundles()
		x := &bundle{client: c.Client, bundles: bundles.Lister(), name: bundleName(rootCA), rootCA: string(rootCA)}
		queue := reconcile.NewQueue(c, "ca_cert_publisher_cluster_trust_bundles", 1, bundleSyncs.measured(c.Clock, x.sync))
		c.Loop(func(context.Context) { queue.Add("") })
		return c.Handle(bundles.Informer(), reconcile.Each(func(b *certificatesv1.ClusterTrustBundle) {
			if b.Spec.SignerName == signer {
				queue.Add("")
			}
		}))
	}
}

func (x *bundle) sync(ctx context.Context, _ string) error {
	client := x.client.CertificatesV1().ClusterTrustBundles()
	published, err := x.bundles.Get(x.name)
	switch {
	case apierrors.IsNotFound(err):
		_, err = client.Create(ctx, &certificatesv1.ClusterTrustBundle{
			ObjectMeta: metav1.ObjectMeta{Name: x.name},
			Spec:       certificatesv1.ClusterTrustBundleSpec{SignerName: signer, TrustBundle: x.rootCA},
		}, metav1.CreateOptions{})
	case err == nil && published.Spec.TrustBundle != x.rootCA:
		published = published.DeepCopy()
		published.Spec.TrustBundle = x.rootCA
		_, err = client.Update(ctx, published, metav1.UpdateOptions{})
	}
	if err != nil {
		return err
	}
	all, err := x.bundles.List(labels.Everything())
	errs := []error{err}
	for _, other := range all {
		if other.Spec.SignerName == signer && other.Name != x.name {
			if err := client.Delete(ctx, other.Name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func bundleName(certificates []byte) string {
	sum := sha256.Sum256(certificates)
	return fmt.Sprintf("%s:%x", strings.ReplaceAll(signer, "/", ":"), sum[:12])
}
