package read

import (
	"context"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/storage"
)

// Deps are what the handlers of every row share.
type Deps struct {
	Store *storage.Store
	// MinRequestTimeout is how long a watch lasts at least when the client sets
	// no time; it ends at random between it and twice it. Default 30 minutes.
	MinRequestTimeout time.Duration
	// BookmarkInterval is how often watches that want bookmarks get one; default
	// a minute.
	BookmarkInterval time.Duration
	// ContinueLife is how long a list may be gone on with at the revision of its
	// first page; default 5 minutes. Negative: as long as history reaches back.
	ContinueLife time.Duration
	// Stopping ends all watches when it is closed; nil: they end on their own.
	Stopping <-chan struct{}
}

func (d Deps) withDefaults() Deps {
	if d.MinRequestTimeout == 0 {
		d.MinRequestTimeout = 30 * time.Minute
	}
	if d.BookmarkInterval == 0 {
		d.BookmarkInterval = time.Minute
	}
	if d.ContinueLife == 0 {
		d.ContinueLife = continueLife
	}
	return d
}

// Get serves one object of the row.
func Get(res *resource.Resource, d Deps) http.Handler {
	e := newEndpoint(res, d)
	return e.handler(e.get)
}

// List serves lists of the row, and watches for ?watch=true.
func List(res *resource.Resource, d Deps) http.Handler {
	e := newEndpoint(res, d)
	return e.handler(e.listOrWatch)
}

// Watch serves watches of the row, also those whose path says so.
func Watch(res *resource.Resource, d Deps) http.Handler {
	e := newEndpoint(res, d)
	return e.handler(e.watchAlways)
}

// An endpoint is a row with what its read handlers share.
type endpoint struct {
	*resource.Resource
	deps  Deps
	types types
}

func newEndpoint(res *resource.Resource, d Deps) *endpoint {
	return &endpoint{Resource: res, deps: d.withDefaults(), types: newTypes(res)}
}

// handler turns a verb, which returns an error or has answered, into a handler.
func (e *endpoint) handler(verb func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := verb(w, r); err != nil {
			encode.Error(w, r, e.Resource, err)
		}
	})
}

// namespace that the request is about; empty for all, and for rows without.
func (e *endpoint) namespace(r *http.Request) string {
	if info, ok := request.RequestInfoFrom(r.Context()); ok && e.Namespaced {
		return info.Namespace
	}
	return ""
}

// inNamespace is the request's context for upstream's storages.
func (e *endpoint) inNamespace(r *http.Request) context.Context {
	return request.WithNamespace(r.Context(), e.namespace(r))
}

// hub returns the object as upstream's storage would give it.
func (e *endpoint) hub(o *storage.Object) (runtime.Object, error) {
	if o.Err != nil {
		return nil, objects.ReadError(o)
	}
	obj, err := e.Objects.Decode(o)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if e.Decorate != nil {
		e.Decorate(obj)
	}
	return obj, nil
}

// hubWithin is hub for a request that ends with ctx.
func (e *endpoint) hubWithin(ctx context.Context, o *storage.Object) (runtime.Object, error) {
	if !e.Hooked {
		return e.hub(o)
	}
	return resource.Within(ctx, func() (runtime.Object, error) { return e.hub(o) })
}

// lister is the row's upstream storage, for what it knows about lists.
func (e *endpoint) lister() (rest.Lister, error) {
	if lister, ok := e.Storage.(rest.Lister); ok {
		return lister, nil
	}
	return nil, apierrors.NewMethodNotSupported(e.GroupResource(), "list")
}

// finish ends a body that a list or object was written to. When it failed after
// the start the answer can only be aborted.
func finish(body *encode.Body, err error) error {
	if err == nil {
		_ = body.Close() // the client is gone, there is nobody to tell
		return nil
	}
	body.Discard()
	if body.Started() {
		panic(http.ErrAbortHandler)
	}
	return err
}
