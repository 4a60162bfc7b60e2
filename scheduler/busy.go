package scheduler

import (
	"sync"
	"time"
)

const (
	// calm is how long no pod has arrived when a burst of them is over.
	calm = 100 * time.Millisecond
	// few pods that arrive together are no burst: who makes them looks at once for
	// what became of them.
	few = 16
)

// busy tells whether the API has more important work than to be told what became
// of pods: pods are being bound, or many are being made.
func (s *Scheduler) busy() bool {
	return s.binding.Load() > 0 || s.arrivals.burst(s.clock.Now())
}

// arrivals are the new pods of late.
type arrivals struct {
	mu    sync.Mutex
	last  time.Time
	count int // since it was calm
}

func (a *arrivals) add(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.last) >= calm {
		a.count = 0
	}
	a.count++
	a.last = now
}

func (a *arrivals) burst(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count > few && now.Sub(a.last) < calm
}
