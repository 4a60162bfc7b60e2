package server

import (
	"net/http"
	"time"

	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/howdah/howdah/auth/impersonation"
	"github.com/howdah/howdah/server/encode"
)

// impersonate is the step of the flow that lets callers be whom their headers
// ask for, if they may. Later steps don't see that it happened.
func (s *Server) impersonate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wanted, err := impersonation.Take(r.Header)
		if err != nil {
			encode.Error(w, r, nil, err)
			return
		}
		if wanted == nil {
			next.ServeHTTP(w, r)
			return
		}
		ctx := r.Context()
		attributes, err := filters.GetAuthorizerAttributes(ctx)
		if err != nil {
			encode.Error(w, r, nil, err)
			return
		}
		began := time.Now()
		is, err := impersonation.New(s.api.authorizing).Check(ctx, wanted, attributes)
		request.TrackImpersonationLatency(ctx, time.Since(began))
		if err != nil {
			s.log.Debug("impersonation is forbidden", "user", attributes.GetUser().GetName(), "err", err)
			encode.Error(w, r, nil, err)
			return
		}
		s.log.Debug("impersonation", "user", attributes.GetUser().GetName(), "as", is.User.GetName(), "groups", is.User.GetGroups())
		audit.LogImpersonatedUser(ctx, is.User, is.Constraint)
		factsOf(r).set(userKey, is.User)
		next.ServeHTTP(w, r)
	})
}
