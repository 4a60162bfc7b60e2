package metrics

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	etcdmetrics "k8s.io/apiserver/pkg/storage/etcd3/metrics"

	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/storage"
)

// Driver records what a driver is asked for under the names that etcd's
// requests have upstream. Each write counts as long as its batch took; reads of
// the current revision and of history have the operations "revision" and
// "history", and no resource. resourceOf tells a key's resource, see [ResourceOf].
func Driver(d storage.Driver, resourceOf func(key string) schema.GroupResource) storage.Driver {
	etcdmetrics.Register()
	return &driver{Driver: d, resourceOf: resourceOf}
}

type driver struct {
	storage.Driver
	resourceOf func(key string) schema.GroupResource
}

// Exclusive implements [storage.Exclusive] for drivers that do.
func (d *driver) Exclusive() bool {
	inner, ok := d.Driver.(storage.Exclusive)
	return ok && inner.Exclusive()
}

func (d *driver) Commit(ctx context.Context, batch storage.Batch) ([]storage.Outcome, error) {
	began := time.Now()
	outcomes, err := d.Driver.Commit(ctx, batch)
	for _, write := range batch.Writes {
		operation := "update"
		switch {
		case write.Delete():
			operation = "delete"
		case write.Expect == 0:
			operation = "create"
		}
		etcdmetrics.RecordEtcdRequest(operation, d.resourceOf(write.Key), err, began)
	}
	return outcomes, err
}

func (d *driver) State(ctx context.Context) (storage.State, error) {
	began := time.Now()
	state, err := d.Driver.State(ctx)
	etcdmetrics.RecordEtcdRequest("revision", schema.GroupResource{}, err, began)
	return state, err
}

func (d *driver) Events(ctx context.Context, query storage.EventQuery) ([]storage.Event, storage.State, error) {
	began := time.Now()
	events, state, err := d.Driver.Events(ctx, query)
	etcdmetrics.RecordEtcdRequest("history", schema.GroupResource{}, err, began)
	return events, state, err
}

// ResourceOf returns a function that tells whose object is stored under a key;
// an empty resource when no row of the table has it.
func ResourceOf(table *resource.Table) func(key string) schema.GroupResource {
	type prefixes struct {
		change    uint64
		resources map[string]schema.GroupResource
	}
	var known atomic.Pointer[prefixes]
	return func(key string) schema.GroupResource {
		p, change := known.Load(), table.Change()
		if p == nil || p.change != change {
			p = &prefixes{change, map[string]schema.GroupResource{}}
			for _, row := range table.All() {
				if row.Objects != nil && row.Subresource == "" {
					p.resources[row.Objects.Prefix()] = row.GroupResource()
				}
			}
			known.Store(p)
		}
		// "/registry/pods/", or "/registry/services/specs/"
		end := 0
		for range 4 {
			next := strings.IndexByte(key[end:], '/')
			if next < 0 {
				break
			}
			end += next + 1
			if found, ok := p.resources[key[:end]]; ok {
				return found
			}
		}
		return schema.GroupResource{}
	}
}
