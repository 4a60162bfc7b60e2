package e2e

import (
	"testing"

	"k8s.io/client-go/kubernetes"

	"github.com/howdah/howdah/storage/storagetest"
)

// TestServices is the walk to pods that answer: a Deployment on nodes that KWOK
// plays, a Service, an address from outside, a quota; all of it also while the
// servers start anew.
func TestServices(t *testing.T) {
	walk := func(t *testing.T, c *cluster) {
		first := c.servers[0]
		first.kwok()
		addNodes(t, must(kubernetes.NewForConfig(first.config()))(t), 3)
		// One after the other: a script that restarts the servers disturbs others.
		for _, script := range []string{"walk", "quota", "balance"} {
			t.Run(script, func(t *testing.T) { c.run(t, "testdata/services/"+script+".txtar") })
		}
	}
	pool := "--service-load-balancer-pool=192.0.2.1-192.0.2.3"
	t.Run("sqlite", func(t *testing.T) { walk(t, &cluster{servers: []*server{newServer(t, "", pool)}}) })
	t.Run("two", func(t *testing.T) {
		database := storagetest.Postgres(t)
		walk(t, &cluster{servers: []*server{newServer(t, database, pool), newServer(t, database, pool)}})
	})
}

// TestNoPool leaves Services of the type LoadBalancer pending.
func TestNoPool(t *testing.T) {
	c := &cluster{servers: []*server{newServer(t, "")}}
	c.run(t, "testdata/nopool.txtar")
}
