package write

import (
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/server/resource"
)

// Connect serves subresources that take over the connection, whatever the
// method: exec, attach, port-forward, proxy, and log.
func Connect(res *resource.Resource, d Deps) http.Handler {
	e := newEndpoint(res, d)
	return e.handler(e.connect)
}

func (e *endpoint) connect(w http.ResponseWriter, r *http.Request) error {
	storage, ok := e.Storage.(rest.Connecter)
	if !ok {
		return e.unsupported("connect")
	}
	if r.URL.Query().Has("dryRun") {
		return apierrors.NewBadRequest("dryRun is not supported")
	}
	t, err := named(r)
	if err != nil {
		return err
	}
	ctx := request.WithNamespace(r.Context(), t.namespace)
	options, err := e.connectOptions(r, storage)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	attributes := func() admission.Attributes { return e.attributes(t, admission.Connect, options, nil, nil, false) }
	if plugin, ok := e.mutates(admission.Connect); ok {
		if err := plugin.Admit(ctx, attributes(), e); err != nil {
			return err
		}
	}
	if e.validates(admission.Connect) {
		if err := e.deps.Admission.(admission.ValidationInterface).Validate(ctx, attributes(), e); err != nil {
			return err
		}
	}
	handler, err := storage.Connect(ctx, t.name, options, &responder{e, w, r})
	if err != nil {
		return err
	}
	handler.ServeHTTP(w, r)
	return nil
}

// connectOptions come from the query, and the rest of the path if the
// subresource wants it.
func (e *endpoint) connectOptions(r *http.Request, storage rest.Connecter) (runtime.Object, error) {
	options, wantsPath, key := storage.NewConnectOptions()
	if options == nil {
		return nil, nil
	}
	query := r.URL.Query()
	if wantsPath {
		info, _ := request.RequestInfoFrom(r.Context())
		query[key] = []string{e.pathBelow(info)}
	}
	return options, e.ParameterCodec.DecodeParameters(url.Values(query), e.Kind.GroupVersion(), options)
}

// pathBelow is what follows the subresource in the path, slashes kept.
func (e *endpoint) pathBelow(info *request.RequestInfo) string {
	own := 2
	if e.Subresource != "" {
		own = 3
	}
	below := strings.Join(info.Parts[min(own, len(info.Parts)):], "/")
	if below != "" && !strings.HasPrefix(below, "/") {
		below = "/" + below
	}
	if strings.HasSuffix(info.Path, "/") && !strings.HasSuffix(below, "/") {
		below += "/"
	}
	return below
}

// A responder lets a connection answer with an object or an error.
type responder struct {
	*endpoint
	w http.ResponseWriter
	r *http.Request
}

func (a *responder) Object(status int, obj runtime.Object) {
	encode.Object(a.w, a.r, a.Resource, status, obj)
}

func (a *responder) Error(err error) { encode.Error(a.w, a.r, a.Resource, err) }
