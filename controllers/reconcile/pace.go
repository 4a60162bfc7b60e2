package reconcile

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	restFactor  = 4
	longestRest = time.Second
	leastRest   = 5 * time.Millisecond // less isn't worth remembering
)

// Pace keeps one key from taking a core for itself: what depends on thousands of
// objects, some of which change all the time, would be reckoned anew without
// end. After work a key rests for some times as long as the work took, during
// which changes gather. One that was quiet is worked on at once.
type Pace[K comparable] struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	rests map[K]time.Time // until when
}

// NewPace returns a pace at which nobody rests yet.
func NewPace[K comparable](clock clock.PassiveClock) *Pace[K] {
	return &Pace[K]{clock: clock, rests: map[K]time.Time{}}
}

// Wait is how long a key still rests.
func (p *Pace[K]) Wait(key K) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	until, ok := p.rests[key]
	if !ok {
		return 0
	}
	return max(0, until.Sub(p.clock.Now()))
}

// Keep lets a key rest after each work.
func (p *Pace[K]) Keep(work func(context.Context, K) error) func(context.Context, K) error {
	return func(ctx context.Context, key K) error {
		began := p.clock.Now()
		err := work(ctx, key)
		p.worked(key, p.clock.Since(began))
		return err
	}
}

func (p *Pace[K]) worked(key K, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := min(restFactor*took, longestRest)
	if rest < leastRest {
		delete(p.rests, key)
		return
	}
	p.rests[key] = p.clock.Now().Add(rest)
}
