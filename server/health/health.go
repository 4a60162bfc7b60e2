// Package health owns the named checks behind /healthz, /livez and /readyz and
// their answers, which are kube-apiserver's in format and order.
//
// Every check belongs to /healthz, /livez and /readyz unless it is added for
// readiness only or for all but /livez. Checks run in the order they were added, each time someone
// asks; "ping" and "log" come first and readiness ends with "shutdown".
package health

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
)

// Names of the storage checks, which are etcd's everywhere so that probes and
// dashboards made for kube-apiserver fit.
const (
	Storage          = "etcd"
	StorageReadiness = "etcd-readiness"
)

// Checks is a registry of named checks. It is safe for concurrent use.
type Checks struct {
	log      *slog.Logger
	stopping atomic.Bool

	mu  sync.RWMutex
	all []check
}

type check struct {
	name      string
	readiness bool // only in /readyz
	notLive   bool // not in /livez
	run       func(context.Context) error
}

// New returns a registry with the checks every server has. Failures that
// probes run into are logged with their reasons, which the answers withhold.
func New(log *slog.Logger) *Checks {
	c := &Checks{log: log}
	ok := func(context.Context) error { return nil }
	c.Add("ping", ok)
	// Our log is written synchronously: blocked logging would block the answer.
	c.Add("log", ok)
	return c
}

// Add adds a check to /healthz, /livez and /readyz.
func (c *Checks) Add(name string, run func(context.Context) error) {
	c.add(check{name: name, run: run})
}

// AddReadiness adds a check to /readyz alone.
func (c *Checks) AddReadiness(name string, run func(context.Context) error) {
	c.add(check{name: name, readiness: true, run: run})
}

// AddExceptLive adds a check to /healthz and /readyz: a restart would not mend
// what it is about.
func (c *Checks) AddExceptLive(name string, run func(context.Context) error) {
	c.add(check{name: name, notLive: true, run: run})
}

// AddHook adds the check "poststarthook/NAME", which fails until done is called.
func (c *Checks) AddHook(name string) (done func()) {
	var finished atomic.Bool
	c.Add("poststarthook/"+name, func(context.Context) error {
		if !finished.Load() {
			return ErrNotFinished
		}
		return nil
	})
	return func() { finished.Store(true) }
}

// ErrNotFinished is what every start goes through, so no news.
var ErrNotFinished = errors.New("not finished")

// ShuttingDown makes /readyz fail from now on.
func (c *Checks) ShuttingDown() { c.stopping.Store(true) }

// Stopping tells whether the server is shutting down.
func (c *Checks) Stopping() bool { return c.stopping.Load() }

func (c *Checks) add(added check) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, added)
}

// Names of the checks of an endpoint, "healthz", "livez" or "readyz".
func (c *Checks) Names(endpoint string) []string {
	var names []string
	for _, check := range c.of(endpoint) {
		names = append(names, check.name)
	}
	return names
}

// of returns the checks of an endpoint.
func (c *Checks) of(endpoint string) []check {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if endpoint == "readyz" {
		return append(slices.Clone(c.all), check{name: "shutdown", run: c.shutdown})
	}
	return slices.DeleteFunc(slices.Clone(c.all), func(c check) bool { return c.readiness || c.notLive && endpoint == "livez" })
}

func (c *Checks) shutdown(context.Context) error {
	if c.Stopping() {
		return errors.New("process is shutting down")
	}
	return nil
}
