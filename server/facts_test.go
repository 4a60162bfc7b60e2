package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/howdah/howdah/server/audit"

	upstreamaudit "k8s.io/apiserver/pkg/audit"
)

// TestFacts: upstream's functions find what steps add, also through contexts that
// were made before, and a request's end reaches those that are made from it.
func TestFacts(t *testing.T) {
	type own struct{}
	gatherFacts(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		outer := r.WithContext(context.WithValue(r.Context(), own{}, 1))
		f := factsOf(outer)
		info, now := &request.RequestInfo{Verb: "get"}, time.Now()
		f.set(infoKey, info)
		f.set(userKey, &user.DefaultInfo{Name: "jane"})
		f.set(userKey, &user.DefaultInfo{Name: "joe"})
		f.set(namespaceKey, "default")
		f.set(receivedKey, now)
		f.set(audiencesKey, authenticator.Audiences{"api"})
		f.set(auditKey, audit.Context("1"))
		for i := range 5 { // more than there is room for
			f.set(i, i)
		}
		ctx := outer.Context()
		if got, ok := request.RequestInfoFrom(ctx); !ok || got != info {
			t.Error("RequestInfo", got)
		}
		if got, ok := request.UserFrom(ctx); !ok || got.GetName() != "joe" {
			t.Error("user", got)
		}
		if got, ok := request.NamespaceFrom(ctx); !ok || got != "default" {
			t.Error("namespace", got)
		}
		if got, ok := request.ReceivedTimestampFrom(ctx); !ok || !got.Equal(now) {
			t.Error("arrival", got)
		}
		if got, ok := authenticator.AudiencesFrom(ctx); !ok || len(got) != 1 {
			t.Error("audiences", got)
		}
		if got, ok := upstreamaudit.AuditIDFrom(ctx); !ok || got != "1" {
			t.Error("audit ID", got)
		}
		if ctx.Value(own{}) != 1 || ctx.Value(4) != 4 || ctx.Value(5) != nil || ctx.Value(http.ServerContextKey) != nil {
			t.Error("other values")
		}
		bounded, cancel := context.WithCancel(f.Context)
		f.Context = bounded
		child, end := context.WithCancel(ctx)
		defer end()
		cancel()
		<-child.Done()
		if ctx.Err() == nil {
			t.Error("the request goes on")
		}
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
}
