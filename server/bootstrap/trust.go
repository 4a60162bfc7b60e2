package bootstrap

import (
	"context"

	"k8s.io/kubernetes/pkg/controlplane/controller/clusterauthenticationtrust"
)

// startTrust has upstream's controller keep the config map by which API servers
// behind this one know whom to believe. Servers add what they trust, and a
// certificate stays until it expires.
func (b *Bootstrap) startTrust(context.Context) error {
	if b.Trust.ClientCA == nil && b.Trust.RequestHeaderCA == nil {
		return nil
	}
	controller := clusterauthenticationtrust.NewClusterAuthenticationTrustController(b.Trust, b.client)
	b.loop(func(ctx context.Context) { controller.Run(ctx, 1) })
	return nil
}
