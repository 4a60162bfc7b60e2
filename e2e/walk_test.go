package e2e

import (
	"testing"

	"k8s.io/client-go/kubernetes"
)

// TestWalk does with stock kubectl what every tutorial does, on nodes that KWOK
// plays.
func TestWalk(t *testing.T) {
	targets(t, func(t *testing.T, c *cluster) {
		c.servers[0].kwok()
		addNodes(t, must(kubernetes.NewForConfig(c.servers[0].config()))(t), 3)
		c.run(t, "testdata/walk/*.txtar")
	})
}
