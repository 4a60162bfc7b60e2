package server

import (
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/howdah/howdah/server/encode"
)

// record writes the audit log.
func (s *Server) record(next http.Handler) http.Handler {
	if s.audit == nil {
		return next
	}
	return s.audit.Requests(longRunning)(next)
}

// refused answers a caller that could not be authenticated.
func (s *Server) refused() http.Handler {
	handler := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		encode.Error(w, r, nil, apierrors.NewUnauthorized("Unauthorized"))
	}))
	if s.audit != nil {
		handler = s.audit.Refused(handler)
	}
	return handler
}
