package bootstrap

import (
	"context"

	"k8s.io/kubernetes/pkg/controlplane/controller/legacytokentracking"
)

// startTokenTracking has upstream's controller keep the config map that says since
// when servers note uses of the tokens in Secrets. Who cleans unused ones goes by
// it.
func (b *Bootstrap) startTokenTracking(context.Context) error {
	b.loop(legacytokentracking.NewController(b.client).RunWithContext)
	return nil
}
