package endpoints

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// A Service of thousands of pods, some of which change all the time, would keep
// a core busy with nothing but reckoning its endpoints anew. After work it rests
// for some times as long as the work took, during which changes gather. One that
// was quiet is worked on at once.
const (
	restFactor = 4
	longest    = time.Second
	shortest   = 5 * time.Millisecond // less isn't worth remembering
)

// pace remembers who rests. Its zero value with a clock is ready.
type pace struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	rests map[cache.ObjectName]time.Time // until when
}

// wait is how long the Service still rests.
func (p *pace) wait(service cache.ObjectName) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	until, ok := p.rests[service]
	if !ok {
		return 0
	}
	return max(0, until.Sub(p.clock.Now()))
}

// keep lets a Service rest after each work.
func (p *pace) keep(work func(context.Context, cache.ObjectName) error) func(context.Context, cache.ObjectName) error {
	return func(ctx context.Context, service cache.ObjectName) error {
		began := p.clock.Now()
		err := work(ctx, service)
		p.worked(service, p.clock.Since(began))
		return err
	}
}

func (p *pace) worked(service cache.ObjectName, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := min(restFactor*took, longest)
	if rest < shortest {
		delete(p.rests, service)
		return
	}
	if p.rests == nil {
		p.rests = map[cache.ObjectName]time.Time{}
	}
	p.rests[service] = p.clock.Now().Add(rest)
}
