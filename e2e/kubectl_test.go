package e2e

import (
	"testing"

	"github.com/howdah/howdah/storage/storagetest"
)

// alone makes nothing act on a test's objects but the test.
const alone = "--controllers="

// targets are the ways to run Howdah that must not differ for a client; flags
// are those of the servers.
func targets(t *testing.T, test func(t *testing.T, c *cluster), flags ...string) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, &cluster{servers: []*server{newServer(t, "", flags...)}})
	})
	t.Run("postgres", func(t *testing.T) {
		test(t, &cluster{servers: []*server{newServer(t, storagetest.Postgres(t), flags...)}})
	})
	t.Run("two", func(t *testing.T) {
		database := storagetest.Postgres(t)
		test(t, &cluster{servers: []*server{newServer(t, database, flags...), newServer(t, database, flags...)}})
	})
}

// TestMainJob is what the product is for: a manifest is applied, the servers
// are restarted, and it reads back.
func TestMainJob(t *testing.T) {
	targets(t, func(t *testing.T, c *cluster) { c.run(t, "testdata/mainjob.txtar") })
}

// TestKubectl does what people do with kubectl.
func TestKubectl(t *testing.T) {
	targets(t, func(t *testing.T, c *cluster) { c.run(t, "testdata/kubectl/*.txtar") })
}

// TestCustomResources is the life of a definition and its resources, servers
// that start anew included.
func TestCustomResources(t *testing.T) {
	targets(t, func(t *testing.T, c *cluster) { c.run(t, "testdata/custom.txtar") })
}
