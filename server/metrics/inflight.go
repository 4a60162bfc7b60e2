package metrics

import (
	"sync"
	"time"
)

// A kind of request, as upstream counts those in flight.
type kind int

const (
	readOnly kind = iota
	mutating
)

func kindOf(verb string) kind {
	switch verb {
	case "get", "list", "watch":
		return readOnly
	}
	return mutating
}

// inFlight knows how many requests are under way and reports the most there
// were at once during the last second and this one. It reports when a request
// comes or goes, so that there is nothing to start and stop; the request for
// the metrics is one.
type inFlight struct {
	now    func() time.Time
	report func(readOnly, mutating int)

	mu       sync.Mutex
	second   int64
	counts   [2]struct{ current, most, mostBefore int } // by kind
	reported [2]int
}

func (f *inFlight) enter(k kind) { f.change(k, 1) }
func (f *inFlight) leave(k kind) { f.change(k, -1) }

func (f *inFlight) change(k kind, by int) {
	second := f.now().Unix()
	f.mu.Lock()
	defer f.mu.Unlock()
	if second != f.second {
		for i := range f.counts {
			c := &f.counts[i]
			c.mostBefore = c.current
			if second == f.second+1 {
				c.mostBefore = c.most
			}
			c.most = c.current
		}
		f.second = second
	}
	f.counts[k].current += by
	f.counts[k].most = max(f.counts[k].most, f.counts[k].current)

	var most [2]int
	for i, c := range f.counts {
		most[i] = max(c.most, c.mostBefore)
	}
	if most != f.reported {
		f.reported = most
		f.report(most[readOnly], most[mutating])
	}
}
