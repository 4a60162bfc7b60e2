package write

import (
	"context"
	"net/http"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/registry/rest"
)

// mayCreate lets a validation of new objects ask first whether the caller, who
// was authorized to update, may also create.
func (e *endpoint) mayCreate(r *http.Request, t target, validate rest.ValidateObjectFunc) rest.ValidateObjectFunc {
	if e.deps.Authorizer == nil {
		return validate
	}
	attributes := authorizer.AttributesRecord{
		User:            t.user,
		Verb:            "create",
		Namespace:       t.namespace,
		APIGroup:        e.Group,
		APIVersion:      e.Version,
		Resource:        e.GroupVersionResource.Resource,
		Subresource:     e.Subresource,
		Name:            t.name,
		ResourceRequest: true,
		Path:            r.URL.Path,
	}
	var once sync.Once
	var refusal error
	return func(ctx context.Context, obj runtime.Object) error {
		once.Do(func() {
			// An authorizer may meet an error and still allow, so the decision counts first.
			switch decision, reason, err := e.deps.Authorizer.Authorize(ctx, attributes); {
			case decision == authorizer.DecisionAllow:
			case err != nil:
				refusal = apierrors.NewInternalError(err)
			default:
				refusal = responsewriters.ForbiddenStatusError(attributes, reason)
			}
		})
		if refusal != nil || validate == nil {
			return refusal
		}
		return validate(ctx, obj)
	}
}
