package server

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/howdah/howdah/auth"
	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/server/loopback"
)

// authentication is how this server finds out who is calling.
type authentication struct {
	request   authenticator.Request
	audiences authenticator.Audiences
	metrics   *auth.Metrics
}

// newAuthentication wires the ways that the options name. Nothing is read yet.
func newAuthentication(s *Server) (*authentication, error) {
	a := &authentication{audiences: s.options.Authentication.APIAudiences, metrics: auth.NewMetrics()}
	chain := auth.Chain{
		Certificates: &auth.ClientCertificates{Roots: func() *x509.CertPool { return s.tls.ClientCAs() }, Metrics: a.metrics},
	}
	if !s.options.Authentication.DisableAnonymous {
		chain.Anonymous = auth.Anonymous{}
	}
	a.request = chain.Authenticator()
	return a, nil
}

// authenticate is the step of the flow that says who is calling, or answers 401.
// Our own components say so themselves. Credentials end here: no later step and
// no one behind this server sees them.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if caller, ok := loopback.User(r.Context()); ok {
			next.ServeHTTP(w, r.WithContext(request.WithUser(r.Context(), caller)))
			return
		}
		a := s.api.authentication
		began := time.Now()
		asked := r
		if len(a.audiences) > 0 {
			asked = r.WithContext(authenticator.WithAudiences(r.Context(), a.audiences))
		}
		response, ok, err := a.request.AuthenticateRequest(asked)
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
		removeCredentials(r.Header)
		if r.ProtoMajor == 2 && auth.IsAnonymous(response.User) {
			closeConnection(w)
		}
		next.ServeHTTP(w, asked.WithContext(request.WithUser(asked.Context(), response.User)))
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
	encode.Error(w, r, nil, apierrors.NewUnauthorized("Unauthorized"))
}

// closeConnection ends an HTTP/2 connection after this request: it is too good a
// tool for flooding to be left to strangers (CVE-2023-44487).
func closeConnection(w http.ResponseWriter) { w.Header().Set("Connection", "close") }

func removeCredentials(header http.Header) {
	for name := range header {
		if name == "Authorization" || strings.HasPrefix(name, "X-Remote-") {
			delete(header, name)
		}
	}
}
