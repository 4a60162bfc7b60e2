package server

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericfilters "k8s.io/apiserver/pkg/server/filters"

	"github.com/howdah/howdah/server/audit"
	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/server/flowcontrol"
	"github.com/howdah/howdah/server/metrics"
)

// flow is what every request passes before the router, outermost first. Each
// step is a plain function over http.Handler.
func (s *Server) flow(router http.Handler, control *flowcontrol.Control) http.Handler {
	steps := []func(http.Handler) http.Handler{
		roomyStack,
		s.recoverPanic,
		gatherFacts,
		decodedPath,
		s.auditID,
		requestInfo,
		arrival,
		s.sendAway,
		cacheControl,
		s.strictTransport,
		s.goaway,
		s.deadline,
		filters.WithWarningRecorder,
		s.cors,
		s.authenticate,
		s.record,
		s.impersonate,
		control.Step,
		s.authorize,
	}
	handler := router
	for i := len(steps) - 1; i >= 0; i-- {
		handler = steps[i](handler)
	}
	return handler
}

// longRunning requests have no deadline; the list is kube-apiserver's.
var longRunning = genericfilters.BasicLongRunningRequestCheck(
	sets.NewString("watch", "proxy"),
	sets.NewString("attach", "exec", "proxy", "log", "portforward"),
)

var requestInfoFactory = &request.RequestInfoFactory{
	APIPrefixes:          sets.NewString("api", "apis"),
	GrouplessAPIPrefixes: sets.NewString("api"),
}

// recoverPanic keeps a panic away from the client and from other requests.
func (s *Server) recoverPanic(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch cause := recover(); cause {
			case nil:
			case http.ErrAbortHandler:
				panic(cause) // net/http resets the stream
			default:
				s.log.Error("panic while serving a request", "method", r.Method, "path", r.URL.Path, "panic", cause, "stack", string(debug.Stack()))
				http.Error(w, "This request caused apiserver to panic. Look in the logs for details.", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// decodedPath makes the router see the decoded path, as kube-apiserver's does:
// an encoded slash separates segments like a plain one.
func decodedPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawPath != "" {
			url := *r.URL
			url.RawPath = ""
			r = r.WithContext(r.Context())
			r.URL = &url
		}
		next.ServeHTTP(w, r)
	})
}

// auditID echoes the caller's Audit-ID or gives the request one.
func (s *Server) auditID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Audit-ID")
		if id == "" {
			id = uuid.NewString()
		}
		w.Header()["Audit-Id"] = []string{id}
		if s.audit != nil {
			f := factsOf(r)
			f.set(auditKey, audit.Context(id))
			f.set(receivedKey, time.Now())
		}
		next.ServeHTTP(w, r)
	})
}

func requestInfo(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, err := requestInfoFactory.NewRequestInfo(r)
		if err != nil {
			encode.Error(w, r, nil, apierrors.NewInternalError(fmt.Errorf("failed to create RequestInfo: %w", err)))
			return
		}
		f := factsOf(r)
		f.set(infoKey, info)
		if info.IsResourceRequest {
			f.set(namespaceKey, info.Namespace)
		}
		next.ServeHTTP(w, r)
	})
}

// arrival has metrics count the request's time from here.
func arrival(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, _ := request.RequestInfoFrom(r.Context())
		factsOf(r).set(metrics.Arrival(longRunning(r, info)))
		next.ServeHTTP(w, r)
	})
}

// sendAway tells the clients of a server that stops to go on elsewhere: their
// connections end with what they have asked for until now, by GOAWAY in HTTP/2.
// Who has connected nevertheless is served for as long as the server can.
func (s *Server) sendAway(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.health.Stopping() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func cacheControl(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache, private")
		next.ServeHTTP(w, r)
	})
}

// strictTransport tells browsers to stay with HTTPS, if it is asked for.
func (s *Server) strictTransport(next http.Handler) http.Handler {
	return genericfilters.WithHSTS(next, s.options.Serving.StrictTransport)
}

// bodyGrace is how much later than the request's context its body ends, so that
// handlers that no longer read see the context end, and say so.
const bodyGrace = time.Second

// deadline bounds every request that is not long-running by ?timeout= or
// [Options.RequestTimeout], whichever is less.
func (s *Server) deadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, _ := request.RequestInfoFrom(r.Context())
		if longRunning(r, info) {
			next.ServeHTTP(w, r)
			return
		}
		timeout := s.options.RequestTimeout
		if strings.Contains(r.URL.RawQuery, "timeout=") {
			if value := r.URL.Query().Get("timeout"); value != "" {
				asked, err := time.ParseDuration(value)
				if err != nil {
					encode.Error(w, r, nil, apierrors.NewBadRequest(fmt.Sprintf("invalid timeout specified in the request URL - %v", err)))
					return
				}
				if asked > 0 && asked < timeout {
					timeout = asked
				}
			}
		}
		if r.ContentLength != 0 {
			// A body that drips in would outlast any context. Nothing but the
			// body is read by then; connections that can't do this are our own.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout + bodyGrace))
		}
		f := factsOf(r)
		ctx, cancel := context.WithTimeout(f.Context, timeout)
		defer cancel()
		f.Context = ctx
		next.ServeHTTP(w, r)
	})
}
