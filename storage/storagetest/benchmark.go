package storagetest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/howdah/howdah/storage"
)

// valueSize is that of a pod.
const valueSize = 3 << 10

// Benchmark measures a driver from one caller: writes and batches a second, and
// what readers do.
func Benchmark(b *testing.B, factory Factory) {
	for _, batch := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("create/batch=%d", batch), func(b *testing.B) {
			bench := newBench(b, factory)
			n := 0
			for b.Loop() {
				n += len(bench.create(b, n, batch))
			}
			perSecond(b, n, "writes/s")
			perSecond(b, b.N, "batches/s")
		})
		b.Run(fmt.Sprintf("update/batch=%d", batch), func(b *testing.B) {
			bench := newBench(b, factory)
			revisions := bench.fill(b, 4096)
			n := 0
			b.ResetTimer()
			for b.Loop() {
				bench.update(b, revisions, n, batch)
				n += batch
			}
			perSecond(b, n, "writes/s")
			perSecond(b, b.N, "batches/s")
		})
	}
	b.Run("state", func(b *testing.B) {
		bench := newBench(b, factory)
		bench.fill(b, 64)
		for b.Loop() {
			_, err := bench.State(b.Context())
			must(b, err)
		}
		perSecond(b, b.N, "states/s")
	})
	b.Run("events/tail=16", func(b *testing.B) {
		bench := newBench(b, factory)
		last := int64(len(bench.fill(b, 4096)))
		for b.Loop() {
			_, _, err := bench.Events(b.Context(), storage.EventQuery{After: last - 16, Limit: 1000})
			must(b, err)
		}
		perSecond(b, 16*b.N, "events/s")
	})
	b.Run("load/records=30000", func(b *testing.B) {
		bench := newBench(b, factory)
		n := len(bench.fill(b, 30_000))
		b.SetBytes(int64(n) * valueSize)
		for b.Loop() {
			_, err := bench.Load(b.Context(), func(storage.Record) error { return nil })
			must(b, err)
		}
	})
	b.Run("compact/events=1000", func(b *testing.B) {
		bench := newBench(b, factory)
		n := 0
		for b.Loop() {
			b.StopTimer()
			n += len(bench.create(b, n, 1000))
			b.StartTimer()
			_, err := bench.Compact(b.Context(), time.Now().Add(time.Hour), 1000)
			must(b, err)
		}
	})
}

type bench struct {
	storage.Driver
	writer *writer
	random *rand.ChaCha8
}

func newBench(b *testing.B, factory Factory) *bench {
	return &bench{factory(b)(), newWriter("bench"), rand.NewChaCha8([32]byte{})}
}

// value is incompressible.
func (bench *bench) value() []byte {
	value := make([]byte, valueSize)
	_, _ = bench.random.Read(value) // never fails
	return value
}

func (bench *bench) create(b *testing.B, from, n int) []storage.Outcome {
	writes := make([]storage.Write, n)
	for i := range writes {
		writes[i] = storage.Write{Key: fmt.Sprintf("/registry/pods/default/pod-%08d", from+i), Value: bench.value()}
	}
	return bench.applied(b, writes)
}

// fill creates keys and returns their revisions.
func (bench *bench) fill(b *testing.B, n int) []int64 {
	revisions := make([]int64, 0, n)
	for len(revisions) < n {
		for _, o := range bench.create(b, len(revisions), min(256, n-len(revisions))) {
			revisions = append(revisions, o.Revision)
		}
	}
	return revisions
}

// update replaces keys that lie apart, as those of unrelated clients do.
func (bench *bench) update(b *testing.B, revisions []int64, from, n int) {
	writes := make([]storage.Write, n)
	at := make([]int, n)
	for i := range writes {
		at[i] = (from + i) * 1021 % len(revisions)
		writes[i] = storage.Write{Key: fmt.Sprintf("/registry/pods/default/pod-%08d", at[i]), Value: bench.value(), Expect: revisions[at[i]]}
	}
	for i, o := range bench.applied(b, writes) {
		revisions[at[i]] = o.Revision
	}
}

func (bench *bench) applied(b *testing.B, writes []storage.Write) []storage.Outcome {
	outcomes := bench.writer.commit(b, bench, writes...)
	for i, o := range outcomes {
		if o.Revision == 0 {
			b.Fatalf("write of %s did not apply: it has revision %d, not %d", writes[i].Key, o.Current, writes[i].Expect)
		}
	}
	return outcomes
}

func perSecond(b *testing.B, n int, unit string) {
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), unit)
}
