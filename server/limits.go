package server

import (
	"errors"
	"net/http"

	"k8s.io/apiserver/pkg/server/filters"

	"github.com/howdah/howdah/server/flowcontrol"
)

// LimitOptions bound what callers may ask of the server.
type LimitOptions struct {
	flowcontrol.Limits
	// GoawayChance is how likely a request over HTTP/2 is to end its connection,
	// so that clients spread over the servers behind a load balancer; 0 to 0.02.
	GoawayChance float64
}

// DefaultLimits are kube-apiserver's.
func DefaultLimits() LimitOptions {
	return LimitOptions{Limits: flowcontrol.Limits{Requests: 400, MutatingRequests: 200, Fairness: true}}
}

func (o *Options) completeLimits() error {
	if o.Limits == nil {
		standard := DefaultLimits()
		o.Limits = &standard
	}
	if chance := o.Limits.GoawayChance; chance < 0 || chance > 0.02 {
		return errors.New("--goaway-chance can not be less than 0 or greater than 0.02")
	}
	return o.Limits.Check()
}

// goaway now and then asks a client to connect again.
func (s *Server) goaway(next http.Handler) http.Handler {
	if s.options.Limits.GoawayChance == 0 {
		return next
	}
	return filters.WithProbabilisticGoaway(next, s.options.Limits.GoawayChance)
}
