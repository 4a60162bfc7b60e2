package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/howdah/howdah/server/resource"
)

// sizeTimeout bounds how long a scrape waits for the database, as upstream's.
const sizeTimeout = time.Second

var (
	storedObjects = prometheus.NewDesc("apiserver_storage_objects",
		"[STABLE] Number of stored objects at the time of last check split by kind.", []string{"resource"}, nil)
	resourceObjects = prometheus.NewDesc("apiserver_resource_objects",
		"[ALPHA] Number of stored objects at the time of last check split by kind.", []string{"group", "resource"}, nil)
	storageSize = prometheus.NewDesc("apiserver_storage_size_bytes",
		"[STABLE] Size of the storage database file physically allocated in bytes.", []string{"storage_cluster_id"}, nil)
)

// stored tells how much is stored.
type stored struct {
	table *resource.Table
	size  func(context.Context) (int64, error)
}

// Describe implements [prometheus.Collector].
func (s *stored) Describe(ch chan<- *prometheus.Desc) {
	ch <- storedObjects
	ch <- resourceObjects
	ch <- storageSize
}

// Collect implements [prometheus.Collector].
func (s *stored) Collect(ch chan<- prometheus.Metric) {
	counted := map[string]bool{} // by prefix: several versions share one
	for _, row := range s.table.All() {
		if row.Objects == nil || row.Subresource != "" || counted[row.Objects.Prefix()] {
			continue
		}
		prefix := row.Objects.Prefix()
		counted[prefix] = true
		n := float64(row.Objects.Collection().Snapshot().Len(prefix))
		ch <- prometheus.MustNewConstMetric(storedObjects, prometheus.GaugeValue, n, row.GroupResource().String())
		ch <- prometheus.MustNewConstMetric(resourceObjects, prometheus.GaugeValue, n, row.Group, row.Resource)
	}
	ctx, cancel := context.WithTimeout(context.Background(), sizeTimeout)
	defer cancel()
	if size, err := s.size(ctx); err == nil {
		ch <- prometheus.MustNewConstMetric(storageSize, prometheus.GaugeValue, float64(size), "etcd-0") // upstream's name of the first store
	}
}
