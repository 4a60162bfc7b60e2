package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/howdah/howdah/auth"
	"github.com/howdah/howdah/server/loopback"
)

// authenticate is the step of the flow that says who is calling, or answers 401.
// Our own components say so themselves. Credentials end here: no later step and
// no one behind this server sees them.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if caller, ok := loopback.User(r.Context()); ok {
			factsOf(r).set(userKey, caller)
			next.ServeHTTP(w, r)
			return
		}
		a := s.api.authentication
		began := time.Now()
		f := factsOf(r)
		if len(a.audiences) > 0 {
			f.set(audiencesKey, a.audiences)
		}
		response, ok, err := a.AuthenticateRequest(r)
		if ok && err == nil && !acceptable(a.audiences, response.Audiences) {
			ok, err = false, fmt.Errorf("unable to match the audience: %v , accepted: %v", response.Audiences, a.audiences)
		}
		took := time.Since(began)
		request.TrackAuthenticationLatency(r.Context(), took)
		if !ok || err != nil {
			a.metrics.Attempt(nil, err, took)
			s.unauthorized(w, r, err)
			return
		}
		a.metrics.Attempt(response.User, nil, took)
		r.Header.Del("Authorization")
		s.options.Authentication.FrontProxy.RemoveHeaders(r.Header)
		if r.ProtoMajor == 2 && auth.IsAnonymous(response.User) {
			closeConnection(w)
		}
		f.set(userKey, response.User)
		next.ServeHTTP(w, r)
	})
}

// acceptable says whether a credential is meant for us. One that is for nobody
// in particular is for everybody.
func acceptable(ours, theirs authenticator.Audiences) bool {
	return len(ours) == 0 || len(theirs) == 0 || len(ours.Intersect(theirs)) > 0
}

func (s *Server) unauthorized(w http.ResponseWriter, r *http.Request, err error) {
	level := slog.LevelWarn
	if err == nil {
		level = slog.LevelDebug
	}
	s.log.Log(r.Context(), level, "unable to authenticate the request", "err", err, "method", r.Method, "path", r.URL.Path)
	if r.ProtoMajor == 2 {
		closeConnection(w)
	}
	s.refused().ServeHTTP(w, r)
}

// closeConnection ends an HTTP/2 connection after this request: it is too good a
// tool for flooding to be left to strangers (CVE-2023-44487).
func closeConnection(w http.ResponseWriter) { w.Header().Set("Connection", "close") }
