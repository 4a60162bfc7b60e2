package storage

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

const benchObjects = 30_000

// benchStore has 30,000 objects of about 3 KB in 30 namespaces on 1,000 nodes,
// of which 1 % have the label tier=rare. It does not follow its database, so that
// benchmarks can apply what they like.
func benchStore(b *testing.B) (*Store, *Collection) {
	d := newMemoryDriver()
	filler := strings.Repeat("x", 3000)
	for i := range benchObjects {
		r := Record{Key: benchKey(i), Value: []byte(benchValue(i) + "\n" + filler), Created: int64(i + 1), Modified: int64(i + 1)}
		d.db.live[r.Key] = r
	}
	d.db.state.Revision, d.db.state.Compacted = benchObjects, benchObjects
	s, c := newTextStore(b, d)
	if _, err := s.load(b.Context(), nil); err != nil {
		b.Fatal(err)
	}
	return s, c
}

func benchKey(i int) string { return fmt.Sprintf("%sns-%02d/object-%05d", things, i%30, i) }

func benchValue(i int) string {
	tier := "common"
	if i%100 == 0 {
		tier = "rare"
	}
	return fmt.Sprintf("app=web tier=%s pod-name=object-%05d hash=%d f.node=node-%04d", tier, i, i%300, i%1000)
}

func BenchmarkGet(b *testing.B) {
	_, c := benchStore(b)
	keys := make([]string, benchObjects)
	for i := range keys {
		keys[i] = benchKey(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if o, _ := c.Get(keys[rand.IntN(benchObjects)]); o == nil {
				b.Fatal("not found")
			}
		}
	})
}

// One write of an object, as a status update is: its labels stay.
func BenchmarkApply(b *testing.B) {
	s, _ := benchStore(b)
	filler := "\n" + strings.Repeat("x", 3000)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		revision, i := s.Revision()+1, rand.IntN(benchObjects)
		value := []byte(benchValue(i) + filler)
		s.apply([]Event{{Revision: revision, Record: Record{Key: benchKey(i), Value: value, Modified: revision}}})
	}
}

func BenchmarkScanLabel(b *testing.B) {
	_, c := benchStore(b)
	selectors := map[string]Selection{
		"1 percent":           {Labels: labels.SelectorFromSet(labels.Set{"tier": "rare"})},
		"1 percent of one ns": {Labels: labels.SelectorFromSet(labels.Set{"tier": "rare"})},
		"single":              {Labels: labels.SelectorFromSet(labels.Set{"pod-name": "object-00007"})},
		"node":                {Fields: fields.OneTermEqualSelector("f.node", "node-0007")},
		"everything":          {},
	}
	for name, selection := range selectors {
		b.Run(name, func(b *testing.B) {
			prefix := things
			if strings.HasSuffix(name, "ns") {
				prefix += "ns-00/"
			}
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				c.Snapshot().Scan(prefix, "", selection, func(*Object) bool { n++; return true })
				if n == 0 {
					b.Fatal("nothing found")
				}
			}
		})
	}
}

// One write with many watchers: those of one node each, and those of all.
func BenchmarkFanout(b *testing.B) {
	for _, kind := range []string{"10000 by node", "200 of all", "200 of all by label"} {
		b.Run(kind, func(b *testing.B) {
			s, c := benchStore(b)
			var n int
			if _, err := fmt.Sscan(kind, &n); err != nil {
				b.Fatal(err)
			}
			var watchers []*Watcher
			for i := range n {
				o := WatchOptions{After: s.Revision()}
				switch {
				case strings.HasSuffix(kind, "node"):
					o.Selection.Fields = fields.OneTermEqualSelector("f.node", fmt.Sprintf("node-%04d", i))
				case strings.HasSuffix(kind, "label"):
					o.Selection.Labels = labels.SelectorFromSet(labels.Set{"app": "web"})
				}
				w, err := c.Watch(b.Context(), o)
				if err != nil {
					b.Fatal(err)
				}
				defer w.Stop()
				watchers = append(watchers, w)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				revision, i := s.Revision()+1, rand.IntN(benchObjects)
				s.apply([]Event{{Revision: revision, Record: Record{Key: benchKey(i), Value: []byte(benchValue(i)), Modified: revision}}})
				if n%1000 == 999 {
					b.StopTimer()
					for _, w := range watchers {
						select {
						case <-w.Ready():
							if _, err := w.Next(b.Context()); err != nil {
								b.Fatal(err)
							}
						default:
						}
					}
					b.StartTimer()
				}
			}
		})
	}
}

func BenchmarkStart(b *testing.B) {
	s, _ := benchStore(b)
	for b.Loop() {
		if _, err := s.load(b.Context(), ErrNewEpoch); err != nil {
			b.Fatal(err)
		}
	}
}
