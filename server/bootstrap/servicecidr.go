package bootstrap

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/controlplane/controller/defaultservicecidr"
)

// startServiceCIDR creates the default range of service addresses at once, as
// services wait for it, and leaves its status and its growth from one family
// to two to upstream's controller, which begins with an informer.
func (b *Bootstrap) startServiceCIDR(ctx context.Context) error {
	var ranges []string
	for _, cidr := range b.Installed.Config.ServiceCIDRs {
		ranges = append(ranges, cidr.String())
	}
	cidrs := b.client.NetworkingV1().ServiceCIDRs()
	name := defaultservicecidr.DefaultServiceCIDRName
	if err := ensure(
		func() error { return second(cidrs.Get(ctx, name, metav1.GetOptions{})) },
		func() error {
			return second(cidrs.Create(ctx, &networkingv1.ServiceCIDR{
				ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec:       networkingv1.ServiceCIDRSpec{CIDRs: ranges},
			}, metav1.CreateOptions{}))
		}); err != nil {
		return err
	}
	b.loop(b.cidrs.Start)
	return nil
}
