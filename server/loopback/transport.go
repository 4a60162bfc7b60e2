package loopback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"k8s.io/apiserver/pkg/authentication/user"
)

// Transport is a [http.RoundTripper] that hands requests to a handler.
type Transport struct {
	handler http.Handler
	// ctx is the root of every handler's context; it only carries the user.
	ctx context.Context
}

// NewTransport returns a transport whose requests reach the handler as the user.
func NewTransport(handler http.Handler, u user.Info) *Transport {
	return &Transport{handler: handler, ctx: context.WithValue(context.Background(), userKey{}, u)}
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	caller := request.Context()
	if err := caller.Err(); err != nil {
		if request.Body != nil {
			request.Body.Close()
		}
		return nil, context.Cause(caller)
	}
	ctx, cancel := context.WithCancel(t.ctx)
	e := newExchange(cancel, request.Method == http.MethodHead)
	detach := context.AfterFunc(caller, func() { e.close(context.Cause(caller)) })
	go func() {
		defer detach()
		defer cancel()
		e.run(t.handler, received(ctx, request))
	}()
	if err := e.waitForHead(); err != nil {
		return nil, err
	}
	return e.response(request), nil
}

// received is the request as a server would see it.
func received(ctx context.Context, sent *http.Request) *http.Request {
	r := sent.WithContext(ctx)
	r.Header = sent.Header.Clone() // the handler may change it
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	if r.Host == "" {
		r.Host = sent.URL.Host
	}
	url := *sent.URL
	url.Scheme, url.Host, url.User = "", "", nil
	r.URL = &url
	r.RequestURI = url.RequestURI()
	r.RemoteAddr = "127.0.0.1:0"
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	r.GetBody, r.Response, r.Close = nil, nil, false
	return r
}

// run serves the request and ends the exchange however the handler ends.
func (e *exchange) run(handler http.Handler, r *http.Request) {
	failure := errors.New("in-process handler ended without returning") // runtime.Goexit
	defer func() {
		switch cause := recover(); cause {
		case nil:
		case http.ErrAbortHandler:
			failure = fmt.Errorf("in-process handler broke off the response: %w", io.ErrUnexpectedEOF)
		default:
			failure = fmt.Errorf("in-process handler panicked: %v", cause)
		}
		r.Body.Close()
		e.finish(failure)
	}()
	handler.ServeHTTP((*writer)(e), r)
	failure = nil
}
