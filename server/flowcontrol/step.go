package flowcontrol

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	endpointmetrics "k8s.io/apiserver/pkg/endpoints/metrics"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/util/flowcontrol"
	"k8s.io/apiserver/pkg/util/flowcontrol/metrics"
	flowcontrolrequest "k8s.io/apiserver/pkg/util/flowcontrol/request"
)

// fairStep is the step of the request flow in which callers share the server by
// the cluster's configuration.
type fairStep struct {
	*Control
	next     http.Handler
	estimate flowcontrolrequest.WorkEstimatorFunc
	dropped  flowcontrol.DroppedRequestsTracker
}

// visit is one request's way through the step.
type visit struct {
	step     *fairStep
	w        http.ResponseWriter
	r        *http.Request
	digest   flowcontrol.RequestDigest
	class    *class
	mutating bool
	served   bool

	estimated bool
	width     flowcontrolrequest.WorkEstimate // once it is estimated
	through   direct                          // if nobody has to decide
}

func (s *fairStep) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	info, known := request.RequestInfoFrom(r.Context())
	caller, authenticated := request.UserFrom(r.Context())
	if !known || !authenticated {
		http.Error(w, fmt.Sprintf("Internal Server Error: %#v", r.RequestURI), http.StatusInternalServerError)
		return
	}
	v := &visit{step: s, w: w, r: r, digest: flowcontrol.RequestDigest{RequestInfo: info, User: caller}}
	switch info.Verb {
	case "get", "list":
	case "watch":
		v.watch()
		return
	default:
		v.mutating = true
	}
	if s.config.LongRunning(r, info) {
		s.next.ServeHTTP(w, r)
		return
	}
	v.serve()
}

// serve serves the request when it may be.
func (v *visit) serve() {
	s := v.step
	if v.class = s.classes.find(v.digest); v.class != nil {
		v.through = direct{ctx: v.r.Context(), width: v.estimate(), descr1: v.digest.RequestInfo, descr2: v.digest.User}
		if v.class.letThrough(&v.through) {
			v.direct()
			return
		}
	}
	ctx, cancel := s.waiting(v.r.Context())
	defer cancel()
	s.fair.Handle(ctx, v.digest, v.classified, v.estimate, v.queued, func() {
		v.begin()
		defer v.end()
		s.next.ServeHTTP(v.w, v.r)
	})
	if !v.served {
		v.reject()
	}
}

// direct serves a request that nobody has to decide on, and tells what upstream's
// controller would.
func (v *visit) direct() {
	ctx, c := v.r.Context(), v.class
	if !c.exempt {
		metrics.ObserveWaitingDuration(ctx, c.level.Name, c.schema.Name, "true", 0)
	}
	metrics.AddDispatch(ctx, c.level.Name, c.schema.Name)
	began := time.Now()
	v.begin()
	defer func() {
		v.end()
		v.through.end()
		metrics.ObserveExecutionDuration(ctx, c.level.Name, c.schema.Name, time.Since(began))
	}()
	v.step.next.ServeHTTP(v.w, v.r)
}

// watch lets a watch begin when it may. It has its seats until it has begun.
func (v *visit) watch() {
	s, ctx := v.step, v.r.Context()
	signal := flowcontrol.NewInitializationSignal()
	defer signal.Signal()
	started, ended := make(chan flowcontrol.ForgetWatchFunc, 1), make(chan any, 1)
	go func() {
		defer func() {
			cause := recover()
			if cause != nil && cause != http.ErrAbortHandler {
				cause = fmt.Sprintf("%v\n%s", cause, debug.Stack())
			}
			ended <- cause
		}()
		// The watch goes on after this.
		waiting, cancel := s.waiting(ctx)
		defer cancel()
		s.fair.Handle(waiting, v.digest, v.classified, v.estimate, v.queued, func() {
			v.begin()
			defer v.end()
			started <- s.fair.RegisterWatch(v.r)
			signal.Wait()
		})
	}()
	finish := func() {
		signal.Signal()
		if cause := <-ended; cause != nil {
			panic(cause)
		}
	}
	select {
	case forget := <-started:
		if forget != nil {
			defer forget()
		}
		defer finish()
		s.next.ServeHTTP(v.w, v.r.WithContext(flowcontrol.WithInitializationSignal(ctx, signal)))
	case cause := <-ended:
		if cause != nil {
			panic(cause)
		}
		v.reject()
	}
}

// waiting bounds how long a request waits for its turn: a quarter of its time.
func (c *Control) waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() != nil {
		return ctx, func() {}
	}
	arrived, ok := request.ReceivedTimestampFrom(ctx)
	if !ok {
		arrived = time.Now()
	}
	limit := c.config.Timeout / 4
	if deadline, ok := ctx.Deadline(); ok {
		limit = deadline.Sub(arrived) / 4
	}
	return context.WithDeadline(ctx, arrived.Add(min(limit, time.Minute)))
}

// classified is upstream's word on whose share the request is of.
func (v *visit) classified(schema *flowcontrolv1.FlowSchema, level *flowcontrolv1.PriorityLevelConfiguration, distinguisher string) {
	v.class = v.step.classes.learn(v.digest, schema, level, distinguisher)
}

func (v *visit) estimate() flowcontrolrequest.WorkEstimate {
	if !v.estimated {
		v.width, v.estimated = v.step.estimate(v.r, v.class.schema.Name, v.class.level.Name), true
		metrics.ObserveWorkEstimatedSeats(v.class.level.Name, v.class.schema.Name, v.width.MaxSeats())
	}
	return v.width
}

// begin is when the request is let through.
func (v *visit) begin() {
	v.served = true
	v.describe()
	v.step.executing.add(v.mutating, 1)
}

func (v *visit) end() { v.step.executing.add(v.mutating, -1) }

func (v *visit) queued(in bool) {
	if in {
		v.step.queued.add(v.mutating, 1)
	} else {
		v.step.queued.add(v.mutating, -1)
	}
}

// describe says by headers whose share it was, by UIDs, which tell no names.
func (v *visit) describe() {
	h := v.w.Header()
	h[levelHeader], h[schemaHeader] = v.class.levelUID, v.class.schemaUID
}

var (
	levelHeader  = http.CanonicalHeaderKey(flowcontrolv1.ResponseHeaderMatchedPriorityLevelConfigurationUID)
	schemaHeader = http.CanonicalHeaderKey(flowcontrolv1.ResponseHeaderMatchedFlowSchemaUID)
)

// reject tells the caller to come back later.
func (v *visit) reject() {
	v.describe()
	info, level := v.digest.RequestInfo, v.class.level.Name
	endpointmetrics.RecordDroppedRequest(v.r, info, endpointmetrics.APIServerComponent, v.mutating)
	endpointmetrics.RecordRequestTermination(v.r, info, endpointmetrics.APIServerComponent, http.StatusTooManyRequests)
	dropped := v.step.dropped
	dropped.RecordDroppedRequest(level)
	v.w.Header().Set("Retry-After", strconv.Itoa(int(dropped.GetRetryAfter(level))))
	http.Error(v.w, "Too many requests, please try again later.", http.StatusTooManyRequests)
}
