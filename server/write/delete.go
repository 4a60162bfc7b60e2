package write

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversionscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apiserver/pkg/admission"
	upstreamaudit "k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/util/dryrun"

	"github.com/howdah/howdah/server/audit"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
)

// Delete serves DELETE of one object.
func Delete(res *resource.Resource, d Deps) http.Handler {
	e := newEndpoint(res, d)
	return e.handler(e.delete)
}

func (e *endpoint) delete(w http.ResponseWriter, r *http.Request) error {
	storage, ok := e.Storage.(rest.GracefulDeleter)
	if !ok {
		return e.unsupported("delete")
	}
	t, err := named(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), e.deps.Timeout)
	defer cancel()
	ctx = request.WithNamespace(ctx, t.namespace)
	if err := e.negotiate(r); err != nil {
		return err
	}
	options, err := e.deleteOptions(r)
	if err != nil {
		return err
	}
	attributes := e.attributes(t, admission.Delete, nil, nil, options, dryrun.IsDryRun(options.DryRun))
	if ignoresReadErrors(options) {
		upstreamaudit.AddAuditAnnotation(ctx, "apiserver.k8s.io/unsafe-delete-ignore-read-error", "")
		if storage, err = e.unreadableDeleter(ctx, attributes); err != nil {
			return err
		}
	}

	ctx, written := objects.WithWritten(ctx)
	result, deleted, err := storage.Delete(ctx, t.name, rest.AdmissionToValidateObjectDeleteFunc(e.deps.Admission, attributes, e), options)
	if result, err = outcome(ctx, result, err); err != nil {
		return err
	}
	status := http.StatusOK
	//lint:ignore SA1019 what old clients send
	if orphan := options.OrphanDependents; !deleted && orphan != nil && !*orphan {
		status = http.StatusAccepted
	}
	if result == nil {
		result = &metav1.Status{
			Status:  metav1.StatusSuccess,
			Code:    int32(status),
			Details: &metav1.StatusDetails{Name: t.name, Kind: e.Kind.Kind},
		}
	}
	e.respond(w, r, status, result, written)
	return nil
}

// deleteOptions come in the body, or else in the query.
func (e *endpoint) deleteOptions(r *http.Request) (*metav1.DeleteOptions, error) {
	o := &metav1.DeleteOptions{}
	body, err := readBody(r, e.deps.MaxBodyBytes)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		err = parseQuery(r, o)
	} else {
		err = e.decodeDeleteOptions(r, body, o)
	}
	if err != nil {
		return nil, err
	}
	if err := invalidOptions("DeleteOptions", validation.ValidateDeleteOptions(o)); err != nil {
		return nil, err
	}
	o.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("DeleteOptions"))
	return o, nil
}

// decodeDeleteOptions takes the DeleteOptions of any group, which old clients send.
func (e *endpoint) decodeDeleteOptions(r *http.Request, body []byte, o *metav1.DeleteOptions) error {
	codecs := metainternalversionscheme.Codecs
	info, err := negotiation.NegotiateInputSerializer(r, false, codecs)
	if err != nil {
		return err
	}
	kind := metav1.SchemeGroupVersion.WithKind("DeleteOptions")
	obj, gvk, err := codecs.DecoderToVersion(info.Serializer, kind.GroupVersion()).Decode(body, &kind, o)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if obj != o {
		return apierrors.NewBadRequest("decoded object cannot be converted to DeleteOptions")
	}
	audit.Request(r.Context(), e.Resource, obj, gvk.GroupVersion(), codecs)
	return nil
}

func ignoresReadErrors(o *metav1.DeleteOptions) bool {
	ignore := o.IgnoreStoreReadErrorWithClusterBreakingPotential
	return ignore != nil && *ignore
}

// unreadableDeleter deletes objects that can no longer be read, for those who
// may do that.
func (e *endpoint) unreadableDeleter(ctx context.Context, a admission.Attributes) (rest.GracefulDeleter, error) {
	provider, ok := e.Storage.(rest.CorruptObjectDeleterProvider)
	if !ok || provider.GetCorruptObjDeleter() == nil {
		return nil, apierrors.NewInternalError(errors.New("no unsafe deleter provided, can not honor ignoreStoreReadErrorWithClusterBreakingPotential"))
	}
	if e.deps.Authorizer == nil {
		return provider.GetCorruptObjDeleter(), nil
	}
	if e.Subresource != "" {
		return nil, admission.NewForbidden(a, errors.New("ignoreStoreReadErrorWithClusterBreakingPotential delete option is not allowed on a subresource or non-resource request"))
	}
	const verb = "unsafe-delete-ignore-read-errors"
	decision, reason, err := e.deps.Authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User:            a.GetUserInfo(),
		Verb:            verb,
		Namespace:       a.GetNamespace(),
		Name:            a.GetName(),
		APIGroup:        e.Group,
		APIVersion:      e.Version,
		Resource:        e.GroupVersionResource.Resource,
		ResourceRequest: true,
	})
	switch {
	case err != nil:
		return nil, admission.NewForbidden(a, fmt.Errorf("error while checking permission for %q, %w", verb, err))
	case decision != authorizer.DecisionAllow:
		return nil, admission.NewForbidden(a, fmt.Errorf("not permitted to do %q, reason: %s", verb, reason))
	}
	return provider.GetCorruptObjDeleter(), nil
}
