package claim

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Operations are what drivers were asked to do to volumes, and since when. It
// is safe for concurrent use.
type Operations struct {
	clock   clock.PassiveClock
	mu      sync.Mutex
	running map[string]Operation
}

// An Operation is one of them.
type Operation struct {
	Plugin, Name string // as in upstream's metrics
	Migrated     bool   // the driver took over from an in-tree plugin
	began        time.Time
}

// NewOperations returns operations none of which runs.
func NewOperations(clock clock.PassiveClock) *Operations {
	return &Operations{clock: clock, running: map[string]Operation{}}
}

// Begin notes that an operation was asked for, unless one runs under this key.
func (o *Operations) Begin(key string, operation Operation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, runs := o.running[key]; !runs {
		operation.began = o.clock.Now()
		o.running[key] = operation
	}
}

// Running is the operation of this key, if one runs.
func (o *Operations) Running(key string) (operation Operation, runs bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	operation, runs = o.running[key]
	return operation, runs
}

// Ended is the operation of this key, if one ran, and how long it took.
func (o *Operations) Ended(key string) (operation Operation, took time.Duration, ran bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	operation, ran = o.running[key]
	delete(o.running, key)
	return operation, o.clock.Since(operation.began), ran
}
