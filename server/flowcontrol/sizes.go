package flowcontrol

import (
	"sync/atomic"

	apistorage "k8s.io/apiserver/pkg/storage"
	flowcontrolrequest "k8s.io/apiserver/pkg/util/flowcontrol/request"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
)

// sizes tells how many objects a resource has and how large they are, which is
// what a list of it costs. The object cache knows.
type sizes struct {
	table *resource.Table
	known atomic.Pointer[storesOf]
}

// storesOf are the stores of one state of the table.
type storesOf struct {
	change uint64
	stores map[string]*objects.Store // by group resource
}

func newSizes(table *resource.Table) *sizes { return &sizes{table: table} }

func (s *sizes) of(groupResource string) (apistorage.Stats, error) {
	known, change := s.known.Load(), s.table.Change()
	if known == nil || known.change != change {
		known = &storesOf{change, map[string]*objects.Store{}}
		for _, row := range s.table.All() {
			if row.Objects != nil && row.Subresource == "" {
				known.stores[row.GroupResource().String()] = row.Objects
			}
		}
		s.known.Store(known)
	}
	store := known.stores[groupResource]
	if store == nil {
		return apistorage.Stats{}, flowcontrolrequest.ObjectCountNotFoundErr
	}
	count, bytes := store.Collection().Size()
	stats := apistorage.Stats{ObjectCount: int64(count)}
	if count > 0 {
		stats.EstimatedAverageObjectSizeBytes = bytes / int64(count)
	}
	return stats, nil
}
