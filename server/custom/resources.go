package custom

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"strings"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/conversion"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/typed/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/util/webhook"
	restclient "k8s.io/client-go/rest"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/storage"
)

// Config is what custom resources are made from.
type Config struct {
	Table *resource.Table
	Store *storage.Store
	// Objects has the definitions themselves.
	Objects *objects.Getter
	// Loopback is how the conditions of definitions are written.
	Loopback *restclient.Config
	// Services and Credentials say how conversion webhooks are reached.
	Services    webhook.ServiceResolver
	Credentials webhook.AuthenticationInfoResolverWrapper
	Logger      *slog.Logger
}

// Resources keep the table's rows of custom resources.
type Resources struct {
	table       *resource.Table
	definitions *objects.Store // nil: definitions are not served
	store       *storage.Store
	maker       rowMaker
	controller  *controller
	log         *slog.Logger

	mu      sync.Mutex
	known   map[string]*definition // by key
	applied map[string]int64       // the revision of what is known, readable or not
	changed chan struct{}          // closed with the next change
}

// New prepares for the definitions; nothing runs and the table stays as it is.
func New(c Config) (*Resources, error) {
	converters, err := conversion.NewCRConverterFactory(c.Services, c.Credentials)
	if err != nil {
		return nil, err
	}
	client, err := apiextensionsclient.NewForConfig(c.Loopback)
	if err != nil {
		return nil, err
	}
	r := &Resources{
		table: c.Table, store: c.Store, log: c.Logger,
		definitions: c.Objects.Store(apiextensions.Resource("customresourcedefinitions")),
		maker:       newRowMaker(c.Store, converters),
		known:       map[string]*definition{},
		applied:     map[string]int64{},
		changed:     make(chan struct{}),
	}
	r.controller = newController(r, client.CustomResourceDefinitions())
	return r, nil
}

// Start puts the rows of all definitions that there are into the table, and
// follows them until ctx ends. The store must have been started.
func (r *Resources) Start(ctx context.Context, loops *sync.WaitGroup) {
	if r.definitions == nil {
		return
	}
	follower := r.definitions.Collection().Follow(r)
	loops.Go(func() { follower.Run(ctx) })
	r.controller.start(ctx, loops)
}

// Await returns when the table has what the database says of a resource, if
// that can be one of a definition: another server may just have established it.
func (r *Resources) Await(ctx context.Context, resource schema.GroupResource) error {
	if r.definitions == nil || !strings.Contains(resource.Group, ".") {
		return nil
	}
	if _, err := r.store.Sync(ctx); err != nil {
		return err
	}
	key := r.definitions.Key("", resource.String())
	o, _ := r.definitions.Collection().Get(key)
	if o == nil {
		return nil
	}
	for {
		r.mu.Lock()
		there, changed := r.applied[key] >= o.Revision, r.changed
		r.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Replace implements [storage.Keeper], as do the following.
func (r *Resources) Replace(all iter.Seq[*storage.Object]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := map[string]bool{}
	for key := range r.applied {
		gone[key] = true
	}
	var change tableChange
	for o := range all {
		delete(gone, o.Key)
		r.put(o, &change)
	}
	for key := range gone {
		r.remove(key, &change)
	}
	r.commit(change)
}

// Put is also called for objects that are known already.
func (r *Resources) Put(o *storage.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var change tableChange
	r.put(o, &change)
	r.commit(change)
}

func (r *Resources) Delete(last *storage.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var change tableChange
	r.remove(last.Key, &change)
	r.commit(change)
}

// A tableChange gathers what is done in one step.
type tableChange struct{ remove, add []*resource.Resource }

// put makes a stored definition known. The caller holds mu, as for the following.
func (r *Resources) put(o *storage.Object, change *tableChange) {
	if r.applied[o.Key] >= o.Revision {
		return
	}
	r.applied[o.Key] = o.Revision
	next, err := newDefinition(r.definitions, o)
	if err != nil {
		r.log.Error("a CustomResourceDefinition can't be read, its resources stay as they were", "key", o.Key, "err", err)
		return
	}
	old := r.known[o.Key]
	r.known[o.Key] = next
	r.controller.see(next)
	if old != nil && old.sameSpec(next) {
		next.schemas = old.schemas
		next.schemas.object.Store(o)
	}
	if old != nil && old.servesLike(next) {
		next.rows, next.instances = old.rows, old.instances
		return
	}
	if old != nil {
		change.remove = append(change.remove, old.rows...)
	}
	if !next.served() {
		return
	}
	if err := r.maker.fill(next); err != nil {
		r.log.Error("the resources of a CustomResourceDefinition can't be served", "definition", next.Name, "err", err)
		return
	}
	next.rows = r.withoutConflicts(next)
	change.add = append(change.add, next.rows...)
}

// withoutConflicts leaves out what others serve already: built-in resources.
func (r *Resources) withoutConflicts(d *definition) []*resource.Resource {
	var free []*resource.Resource
	for _, row := range d.rows {
		if other := r.table.Lookup(row.GroupVersionResource, row.Subresource); other != nil && !other.Custom {
			r.log.Warn("a resource of a CustomResourceDefinition is built in, which comes first", "definition", d.Name, "resource", row.String())
			continue
		}
		free = append(free, row)
	}
	return free
}

func (r *Resources) remove(key string, change *tableChange) {
	delete(r.applied, key)
	if old := r.known[key]; old != nil {
		change.remove = append(change.remove, old.rows...)
		delete(r.known, key)
		r.controller.forget(old)
	}
}

func (r *Resources) commit(change tableChange) {
	if len(change.remove)+len(change.add) > 0 {
		if err := r.table.Replace(change.remove, change.add); err != nil {
			r.log.Error("custom resources can't be served", "err", err)
		}
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// latest makes what the cache has of a definition known, and returns it; nil
// when there is none.
func (r *Resources) latest(name string) (*definition, *storage.Object) {
	key := r.definitions.Key("", name)
	o, _ := r.definitions.Collection().Get(key)
	if o == nil || o.Err != nil {
		return nil, nil
	}
	r.Put(o)
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.known[key]
	if d == nil || d.revision != o.Revision {
		return nil, nil // newer, or unreadable: it comes again
	}
	return d, o
}

// others are the other definitions of a group.
func (r *Resources) others(group, except string) []*definition {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*definition
	for _, d := range r.known {
		if d.Spec.Group == group && d.Name != except {
			found = append(found, d)
		}
	}
	return found
}

var errNoInstances = errors.New("the resource is not served, see the log of the server")
