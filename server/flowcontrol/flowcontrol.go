// Package flowcontrol owns fair sharing between the callers of a server: the
// step of the request flow in which a request waits for its turn, is let
// through, or is told to come back later (429 with Retry-After).
//
// The sharing is upstream's API Priority and Fairness with its FlowSchema and
// PriorityLevelConfiguration objects, see
// https://kubernetes.io/docs/concepts/cluster-administration/flow-control/;
// without it two plain limits count.
package flowcontrol

import (
	"context"
	"errors"
	"net/http"
	"time"

	endpointmetrics "k8s.io/apiserver/pkg/endpoints/metrics"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/server/filters"
	"k8s.io/apiserver/pkg/server/mux"
	"k8s.io/apiserver/pkg/util/flowcontrol"
	"k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing/eventclock"
	"k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing/queueset"
	"k8s.io/apiserver/pkg/util/flowcontrol/metrics"
	flowcontrolrequest "k8s.io/apiserver/pkg/util/flowcontrol/request"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/howdah/howdah/server/resource"
)

// Limits are how much a server does at a time.
type Limits struct {
	// Requests and MutatingRequests that are served at a time, not counting
	// watches and other long-running ones. With fairness only their sum counts;
	// without it a 0 is no limit.
	Requests, MutatingRequests int
	// Fairness shares the sum between callers by the cluster's configuration.
	Fairness bool
}

// Check refuses limits that make no sense, in upstream's words.
func (l Limits) Check() error {
	switch {
	case l.Requests < 0:
		return errors.New("--max-requests-inflight can not be negative value")
	case l.MutatingRequests < 0:
		return errors.New("--max-mutating-requests-inflight can not be negative value")
	case l.Fairness && l.Requests+l.MutatingRequests == 0:
		return errors.New("--max-requests-inflight and --max-mutating-requests-inflight must add up to something positive while --enable-priority-and-fairness is on")
	}
	return nil
}

// Config is what a [Control] is made from.
type Config struct {
	Limits      Limits
	LongRunning request.LongRunningRequestCheck
	// Timeout of requests; they wait for their turn a quarter of it at most.
	Timeout time.Duration
	// Table tells how large lists are.
	Table *resource.Table
	// Client and Informers read the configuration and keep its status.
	Client    kubernetes.Interface
	Informers informers.SharedInformerFactory
}

// A Control decides when requests are served.
type Control struct {
	config            Config
	fair              flowcontrol.Interface // nil: plain limits
	classes           classes
	executing, queued inflight
}

// New asks the informers for what it needs to know; the caller starts them.
func New(c Config) *Control {
	control := &Control{config: c}
	if c.Limits.Fairness {
		metrics.Register()
		control.executing.reads.gauge, control.executing.writes.gauge = metrics.GetExecutingReadonlyConcurrency(), metrics.GetExecutingMutatingConcurrency()
		control.queued.reads.gauge, control.queued.writes.gauge = metrics.GetWaitingReadonlyConcurrency(), metrics.GetWaitingMutatingConcurrency()
		clock := eventclock.Real{}
		control.fair = flowcontrol.NewTestable(flowcontrol.TestableConfig{ // upstream's New, with queue sets of our own
			Name: "Controller", Clock: clock, AsFieldManager: flowcontrol.ConfigConsumerAsFieldManager,
			FoundToDangling:        func(found bool) bool { return !found },
			InformerFactory:        c.Informers,
			FlowcontrolClient:      c.Client.FlowcontrolV1(),
			ServerConcurrencyLimit: c.Limits.Requests + c.Limits.MutatingRequests,
			ReqsGaugeVec:           metrics.PriorityLevelConcurrencyGaugeVec,
			ExecSeatsGaugeVec:      metrics.PriorityLevelExecutionSeatsGaugeVec,
			QueueSetFactory:        spareFactory{queueset.NewQueueSetFactory(clock), &control.classes},
		})
	}
	return control
}

// Step is the step of the request flow, after authentication and impersonation:
// it asks who the caller is.
func (c *Control) Step(next http.Handler) http.Handler {
	if c.fair == nil {
		return filters.WithMaxInFlightLimit(next, c.config.Limits.Requests, c.config.Limits.MutatingRequests, c.config.LongRunning)
	}
	sizes := newSizes(c.config.Table)
	estimate := flowcontrolrequest.NewWorkEstimator(sizes.of, c.fair.GetInterestedWatchCount,
		flowcontrolrequest.DefaultWorkEstimatorConfig(), c.fair.GetMaxSeats)
	return &fairStep{Control: c, next: next, estimate: estimate, dropped: flowcontrol.NewDroppedRequestsTracker()}
}

// Run follows the configuration until ctx ends. Before it has read it, callers
// share by upstream's mandatory configuration.
func (c *Control) Run(ctx context.Context) error {
	if c.fair == nil {
		filters.StartMaxInFlightWatermarkMaintenance(ctx.Done())
		<-ctx.Done()
		return nil
	}
	go c.executing.report(ctx, endpointmetrics.ExecutingPhase)
	go c.queued.report(ctx, endpointmetrics.WaitingPhase)
	return c.fair.Run(ctx.Done())
}

// DebugPath is below which [Control.Debug] answers.
const DebugPath = "/debug/api_priority_and_fairness/"

// Debug shows queues and requests; nil if there are none to show.
func (c *Control) Debug() http.Handler {
	if c.fair == nil {
		return nil
	}
	paths := mux.NewPathRecorderMux("flowcontrol")
	c.fair.Install(paths)
	return paths
}
