package server

import (
	"context"

	"github.com/howdah/howdah/server/health"
)

// The checks under upstream's names of what a start goes through, by what passes
// them here. Upstream's end-to-end tests, and people's probes, ask for them.
var (
	storageHooks    = []string{"storage-readiness"}
	definitionHooks = []string{"start-apiextensions-informers", "start-apiextensions-controllers", "crd-informer-synced"}
	informerHooks   = []string{"generic-apiserver-start-informers"}
	aggregatorHooks = []string{
		"start-kube-aggregator-informers", "apiservice-status-local-available-controller", "apiservice-status-remote-available-controller",
		"apiservice-registration-controller", "apiservice-discovery-controller", "apiservice-openapi-controller", "apiservice-openapiv3-controller",
	}
	registrationHooks = []string{"kube-apiserver-autoregistration"}
)

const (
	// flowHook is upstream's name for the loop that follows the configuration of
	// flow control.
	flowHook = "priority-and-fairness-config-consumer"
	// Checks that aren't hooks upstream.
	registrationCheck = "autoregister-completion"
	informerCheck     = "informer-sync"
)

// hooks are checks that fail until what they are named after is done.
type hooks struct {
	health *health.Checks
	done   map[string]func()
}

func (h *hooks) add(names ...string) {
	for _, name := range names {
		h.done[name] = h.health.AddHook(name)
	}
}

func (h *hooks) pass(names ...string) {
	for _, name := range names {
		h.done[name]()
	}
}

// addChecks adds the checks that aren't hooks.
func (a *api) addChecks() {
	a.health.Add(registrationCheck, finished(a.others.Registered()))
	a.health.AddReadiness(informerCheck, finished(a.synced))
}

func finished(done <-chan struct{}) func(context.Context) error {
	return func(context.Context) error {
		select {
		case <-done:
			return nil
		default:
			return health.ErrNotFinished
		}
	}
}
