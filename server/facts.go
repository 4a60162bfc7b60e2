package server

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/trace"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// facts is the context of a request on its way through the flow. Steps add what
// they find out to it in place of making a context and a copy of the request each,
// which was a quarter of what a read allocates.
type facts struct {
	context.Context // of the connection; later with the request's deadline
	known           []fact
	room            [8]fact
}

type fact struct{ key, value any }

// gatherFacts is the step of the flow that gives a request its facts.
func gatherFacts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := &facts{Context: r.Context()}
		f.known = append(f.room[:0], fact{spanKey, nil})
		next.ServeHTTP(w, r.WithContext(f))
	})
}

type factsKey struct{}

// Value implements [context.Context].
func (f *facts) Value(key any) any {
	if key == (factsKey{}) {
		return f
	}
	for i := range f.known {
		if f.known[i].key == key {
			return f.known[i].value
		}
	}
	return f.Context.Value(key)
}

// factsOf are those of a request in the flow. Only a step may add to them, before
// it hands the request on.
func factsOf(r *http.Request) *facts { return r.Context().Value(factsKey{}).(*facts) }

// set adds a fact, or replaces it.
func (f *facts) set(key, value any) {
	for i := range f.known {
		if f.known[i].key == key {
			f.known[i].value = value
			return
		}
	}
	f.known = append(f.known, fact{key, value})
}

// Upstream's functions look for these keys, which it keeps to itself.
var (
	infoKey      = keyOf(func(ctx context.Context) { request.RequestInfoFrom(ctx) })
	userKey      = keyOf(func(ctx context.Context) { request.UserFrom(ctx) })
	namespaceKey = keyOf(func(ctx context.Context) { request.NamespaceFrom(ctx) })
	receivedKey  = keyOf(func(ctx context.Context) { request.ReceivedTimestampFrom(ctx) })
	audiencesKey = keyOf(func(ctx context.Context) { authenticator.AudiencesFrom(ctx) })
	spanKey      = keyOf(func(ctx context.Context) { trace.SpanFromContext(ctx) }) // nobody traces: metrics needn't look everywhere
	auditKey     = keyOf(func(ctx context.Context) { audit.AuditContextFrom(ctx) })
)

// keyOf is the key that a function looks for.
func keyOf(look func(context.Context)) any {
	asked := &asked{Context: context.Background()}
	look(asked)
	return asked.key
}

type asked struct {
	context.Context
	key any
}

// Value implements [context.Context].
func (a *asked) Value(key any) any {
	a.key = key
	return nil
}
