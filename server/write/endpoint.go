package write

import (
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
)

// An endpoint is a row with what its write handlers share. It is also what
// admission plugins are told about the row.
type endpoint struct {
	*resource.Resource
	deps     Deps
	decoders decoders
	track    tracker
	replicas *replicas
}

func newEndpoint(res *resource.Resource, d Deps) *endpoint {
	d = d.withDefaults()
	return &endpoint{Resource: res, deps: d, decoders: newDecoders(res), track: newTracker(res), replicas: newReplicas()}
}

func (e *endpoint) GetObjectCreater() runtime.ObjectCreater     { return e.Creater }
func (e *endpoint) GetObjectTyper() runtime.ObjectTyper         { return e.Typer }
func (e *endpoint) GetObjectDefaulter() runtime.ObjectDefaulter { return e.Defaulter }
func (e *endpoint) GetObjectConvertor() runtime.ObjectConvertor { return e.Convertor }
func (e *endpoint) GetEquivalentResourceMapper() runtime.EquivalentResourceMapper {
	return e.deps.Equivalents
}

// handler turns a verb, which returns an error or has answered, into a handler.
func (e *endpoint) handler(verb func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := verb(w, r); err != nil {
			encode.Error(w, r, e.Resource, err)
		}
	})
}

// A target is what the path names and who asks.
type target struct {
	namespace string
	name      string
	user      user.Info
}

func targetOf(r *http.Request) target {
	ctx := r.Context()
	info, _ := request.RequestInfoFrom(ctx)
	who, _ := request.UserFrom(ctx)
	return target{namespace: info.Namespace, name: info.Name, user: who}
}

var errNoName = apierrors.NewBadRequest("name must be provided")

// named is [targetOf] for verbs that need a name in the path.
func named(r *http.Request) (target, error) {
	t := targetOf(r)
	if t.name == "" {
		return t, errNoName
	}
	return t, nil
}

// attributes describe a change to admission.
func (e *endpoint) attributes(t target, op admission.Operation, object, old runtime.Object, options runtime.Object, dryRun bool) admission.Attributes {
	return admission.NewAttributesRecord(object, old, e.Kind, t.namespace, t.name,
		e.GroupVersionResource, e.Subresource, op, options, dryRun, t.user)
}

// respond writes the outcome of a change; stored is the version of the object
// that the change wrote, whose bytes can be the answer.
func (e *endpoint) respond(w http.ResponseWriter, r *http.Request, status int, result runtime.Object, stored *objects.Written) {
	encode.Written(w, r, e.Resource, status, result, stored.Object())
}

func hasUID(obj runtime.Object) (bool, error) {
	if obj == nil {
		return false, nil
	}
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return false, apierrors.NewInternalError(err)
	}
	return accessor.GetUID() != "", nil
}
