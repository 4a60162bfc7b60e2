package storage

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	batchWrites   prometheus.Histogram
	commitSeconds prometheus.Histogram
	conflicts     prometheus.Counter
	applied       prometheus.Counter
	tailReads     prometheus.Counter
	questions     prometheus.Counter
	compacted     prometheus.Counter
	gauges        []prometheus.Collector
}

func newMetrics(s *Store) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "howdah", Subsystem: "store", Name: name, Help: help})
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "howdah", Subsystem: "store", Name: name, Help: help}, value)
	}
	return &metrics{
		batchWrites: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "howdah", Subsystem: "store", Name: "batch_writes",
			Help:    "Writes that were committed together.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, maxBatchWrites},
		}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "howdah", Subsystem: "store", Name: "commit_seconds",
			Help:    "Time that the database took to commit a batch, with retries.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 16),
		}),
		conflicts: counter("conflicts_total", "Writes whose expected revision was not the current one."),
		applied:   counter("applied_events_total", "Events that were applied to the cache."),
		tailReads: counter("tail_reads_total", "Reads of the database's history to follow it."),
		questions: counter("revision_reads_total", "Questions to the database for its current revision."),
		compacted: counter("compacted_events_total", "Events of history that were dropped."),
		gauges: []prometheus.Collector{
			gauge("watchers", "Watchers.", func() float64 { n, _ := s.hub.sizes(); return float64(n) }),
			gauge("recent_bytes", "Bytes that recent changes keep in memory.", func() float64 { _, n := s.hub.sizes(); return float64(n) }),
			gauge("objects", "Objects in the cache.", func() float64 { n, _ := s.cache.sizes(); return float64(n) }),
			gauge("object_bytes", "Bytes of the objects in the cache.", func() float64 { _, n := s.cache.sizes(); return float64(n) }),
			gauge("encoding_bytes", "Bytes of the encodings that are kept.", func() float64 { return float64(s.encodings.size()) }),
			gauge("revision", "Revision that the cache is at.", func() float64 { return float64(s.Revision()) }),
		},
	}
}

func (m *metrics) batch(writes int, took time.Duration) {
	m.batchWrites.Observe(float64(writes))
	m.commitSeconds.Observe(took.Seconds())
}

// Collectors are the store's metrics, for the caller to register.
func (s *Store) Collectors() []prometheus.Collector {
	m := s.metrics
	return append([]prometheus.Collector{
		m.batchWrites, m.commitSeconds, m.conflicts, m.applied, m.tailReads, m.questions, m.compacted,
	}, m.gauges...)
}

func (c *cache) sizes() (objects int, bytes int64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, collection := range c.prefixes.Load().collections {
		objects += collection.view.objects.Len()
		bytes += collection.view.bytes
	}
	for _, r := range c.raw {
		objects++
		bytes += int64(len(r.Value)+len(r.Key)) + overhead
	}
	return objects, bytes
}
