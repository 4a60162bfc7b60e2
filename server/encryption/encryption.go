// Package encryption owns encryption at rest: what an EncryptionConfiguration
// file says about the values of each resource, in the formats of kube-apiserver
// (k8s:enc:aescbc:v1:KEY: and so on), so that values can be copied between etcd
// and our database as they are. The providers are upstream's.
//
// The store seals each value in the goroutine of its writer, so a slow key
// service holds up the writes of its resources only, and opens values where they
// leave the database: the cache has them in plain. See [storage.Sealer].
package encryption

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig/controller"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig/metrics"
	"k8s.io/apiserver/pkg/storage/value"

	"github.com/howdah/howdah/storage"
)

// Options of a configuration.
type Options struct {
	// File is the EncryptionConfiguration, see
	// https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/.
	File string
	// Reload looks at the file every minute and takes a changed one over, once
	// all of its key services answer.
	Reload bool
	// ServerID tells servers apart in metrics.
	ServerID string
	// ResourceOf tells whose value a key has.
	ResourceOf func(key string) schema.GroupResource
}

// A Configuration encrypts and decrypts values. It implements [storage.Sealer].
type Configuration struct {
	resourceOf func(key string) schema.GroupResource
	resources  value.ResourceTransformers
	checks     []healthz.HealthChecker
	breaker    breaker

	transformers sync.Map // schema.GroupResource -> value.Transformer

	close   func()
	follows sync.WaitGroup
}

var _ storage.Sealer = (*Configuration)(nil)

// Load reads the file and connects to its key services; they need not answer
// yet. The caller must Close.
func Load(o Options) (*Configuration, error) {
	ctx, cancel := context.WithCancel(context.Background())
	first, closeFirst := context.WithCancel(ctx) // a reload closes what it replaces
	loaded, err := encryptionconfig.LoadEncryptionConfig(first, o.File, o.Reload, o.ServerID)
	if err != nil {
		closeFirst()
		cancel()
		return nil, fmt.Errorf("--encryption-provider-config: %w", err)
	}
	metrics.RecordEncryptionConfigLastConfigInfo(o.ServerID, loaded.EncryptionFileContentHash)
	c := &Configuration{resourceOf: o.ResourceOf, close: func() { closeFirst(); cancel() }}
	if !o.Reload {
		c.resources = encryptionconfig.StaticTransformers(loaded.Transformers)
		c.checks = loaded.HealthChecks
		return c, nil
	}
	// A configuration that is loaded to be reloaded has exactly one check.
	dynamic := encryptionconfig.NewDynamicTransformers(loaded.Transformers, loaded.HealthChecks[0], closeFirst, loaded.KMSCloseGracePeriod)
	c.resources, c.checks = dynamic, []healthz.HealthChecker{dynamic}
	follower := controller.NewDynamicEncryptionConfiguration("encryption-provider-config-automatic-reload-controller",
		o.File, dynamic, loaded.EncryptionFileContentHash, o.ServerID)
	c.follows.Go(func() { follower.Run(ctx) })
	return c, nil
}

// Close ends the connections to key services and no longer follows the file.
func (c *Configuration) Close() {
	c.close()
	c.follows.Wait()
}

// Checks are the health checks of key services, by their names, for /healthz
// and /readyz.
func (c *Configuration) Checks() map[string]func(context.Context) error {
	checks := map[string]func(context.Context) error{}
	for _, check := range c.checks {
		checks[check.Name()] = func(ctx context.Context) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/healthz/"+check.Name(), nil)
			if err != nil {
				return err
			}
			return check.Check(r)
		}
	}
	return checks
}

// Seal implements [storage.Sealer]. The key is authenticated with the value, so
// that values can't be exchanged within the database.
func (c *Configuration) Seal(ctx context.Context, key string, plain []byte) ([]byte, error) {
	return c.of(key).TransformToStorage(ctx, plain, value.DefaultContext(key))
}

// Open implements [storage.Sealer].
func (c *Configuration) Open(ctx context.Context, key string, sealed []byte) ([]byte, bool, error) {
	return c.breaker.open(sealed, func() ([]byte, bool, error) {
		return c.of(key).TransformFromStorage(ctx, sealed, value.DefaultContext(key))
	})
}

func (c *Configuration) of(key string) value.Transformer {
	resource := c.resourceOf(key)
	if known, ok := c.transformers.Load(resource); ok {
		return known.(value.Transformer)
	}
	known, _ := c.transformers.LoadOrStore(resource, c.resources.TransformerForResource(resource))
	return known.(value.Transformer)
}
