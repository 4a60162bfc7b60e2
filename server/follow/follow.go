// Package follow tells components in the server's process of the metadata of objects
// from the server's own cache: what a watch of each resource would tell, without the
// goroutines of watches, and without encoding anything.
package follow

import (
	"context"
	"iter"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/storage"
)

// Resources are those of a table.
type Resources struct {
	table     *resource.Table
	followers *storage.Followers
}

// New follows nothing yet.
func New(table *resource.Table) *Resources {
	return &Resources{table: table, followers: storage.NewFollowers()}
}

// Run tells of changes until ctx ends.
func (r *Resources) Run(ctx context.Context) { r.followers.Run(ctx) }

// Follow tells to of the objects of a resource, as a reflector does, until stop
// has been called: of their metadata what the garbage collector needs. The store
// must have been started. false: this server doesn't keep the resource.
func (r *Resources) Follow(resource schema.GroupVersionResource, to cache.ReflectorStore) (stop func(), ok bool) {
	row := r.table.Lookup(resource, "")
	if row == nil || row.Objects == nil {
		return nil, false
	}
	return r.followers.Follow(row.Objects.Collection(), reflected{row.Objects, to}), true
}

// reflected is a [storage.Keeper] that hands on metadata. An object that can't be
// read it leaves out, as a watch does.
type reflected struct {
	objects *objects.Store
	to      cache.ReflectorStore
}

func (f reflected) Replace(all iter.Seq[*storage.Object]) {
	var list []any
	for o := range all {
		if metadata := f.metadata(o); metadata != nil {
			list = append(list, metadata)
		}
	}
	_ = f.to.Replace(list, "") // the garbage collector's takes everything
}

func (f reflected) Put(o *storage.Object) {
	if metadata := f.metadata(o); metadata != nil {
		_ = f.to.Add(metadata)
	}
}

func (f reflected) Delete(last *storage.Object) {
	if metadata := f.metadata(last); metadata != nil {
		_ = f.to.Delete(metadata)
	}
}
