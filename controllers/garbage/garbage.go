// Package garbage deletes what has lost its owners, and carries out deletes that
// wait for dependents or leave them behind
// (https://kubernetes.io/docs/concepts/architecture/garbage-collection/).
//
// It watches the metadata of everything that can be deleted, custom resources
// too, and keeps of it one graph and nothing else: who owns whom, by UID. What
// the graph says is only ever a reason to look. An owner counts as gone when its
// end was watched, or when the API, asked by the reference's own coordinates,
// doesn't have it under that UID; and a delete names the version of the object
// that the decision was made on. So nothing that is only late can cost an
// object its life.
//
// The graph is a pure data structure ([graph]); monitors feed it, workers ask it
// for decisions and act.
package garbage

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/utils/lru"

	"github.com/howdah/howdah/controllers/reconcile"
	"github.com/howdah/howdah/server/component/reader"
)

// discoverEvery is how often new and removed resources are looked for.
const discoverEvery = 30 * time.Second

// absentKept is how many owners that are known not to exist are remembered.
const absentKept = 5000

// Options are kube-controller-manager's.
type Options struct {
	Workers int
	Ignored []schema.GroupResource // never watched, so that their objects neither own nor are owned
	// Source tells of what it knows in place of the API's watches; may be nil.
	Source Source
}

// A Source is a shorter way to objects than watches of the API, each of which
// takes some goroutines: there may be thousands of custom resources.
type Source interface {
	// Follow tells of the metadata of a resource's objects until stop has been
	// called; false when the source doesn't know the resource.
	Follow(resource schema.GroupVersionResource, to cache.ReflectorStore) (stop func(), ok bool)
}

type collector struct {
	objects   metadata.Interface
	watcher   *reader.Metadata
	discovery discovery.DiscoveryInterface
	ignored   map[schema.GroupResource]bool
	source    Source
	events    record.EventRecorder
	life      *reconcile.Controller

	mu    sync.Mutex
	graph *graph
	kinds map[schema.GroupVersionKind]*kind // as discovered

	absent *lru.Cache // of reference; UIDs don't come back
	delete *reconcile.Queue[types.UID]
	orphan *reconcile.Queue[types.UID]
}

// Setup is the garbage-collector-controller.
func Setup(o Options) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		register()
		watcher, err := reader.NewMetadata(c.Config)
		if err != nil {
			return err
		}
		x := &collector{
			objects: c.Metadata, watcher: watcher, discovery: c.Client.Discovery(), ignored: map[schema.GroupResource]bool{},
			events: c.Recorder("garbage-collector-controller"), life: c,
			graph: newGraph(), absent: lru.New(absentKept), source: o.Source,
		}
		for _, resource := range o.Ignored {
			x.ignored[resource] = true
		}
		x.delete = reconcile.NewQueue(c, "garbage_collector_attempt_to_delete", o.Workers, x.attemptToDelete)
		x.orphan = reconcile.NewQueue(c, "garbage_collector_attempt_to_orphan", o.Workers, x.attemptToOrphan)
		c.Loop(x.watch)
		return nil
	}
}

// enqueue hands on what a change of the graph gives reason to look at.
func (x *collector) enqueue(look work) {
	for _, uid := range look.delete {
		x.delete.Add(uid)
	}
	for _, uid := range look.orphan {
		x.orphan.Add(uid)
	}
}

var (
	syncErrors = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem:      "garbagecollector_controller",
		Name:           "resources_sync_error_total",
		Help:           "Number of garbage collector resources sync errors",
		StabilityLevel: metrics.ALPHA,
	})
	register = sync.OnceFunc(func() { legacyregistry.MustRegister(syncErrors) })
)

// watch keeps a monitor running for every resource there is, until ctx ends.
func (x *collector) watch(ctx context.Context) {
	monitors := newMonitors(x)
	defer monitors.stop()
	ticks := x.life.Clock.NewTicker(discoverEvery)
	defer ticks.Stop()
	for {
		if err := monitors.update(ctx); err != nil && ctx.Err() == nil {
			syncErrors.Inc()
			x.life.Log.Warn("garbage collector: not all resources could be discovered", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C():
		}
	}
}
