package write

import (
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metainternalversionvalidation "k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/util/dryrun"
	utilfeature "k8s.io/apiserver/pkg/util/feature"

	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/server/resource"
)

// DeleteCollection serves DELETE of a collection, or of what selectors choose
// of it.
func DeleteCollection(res *resource.Resource, d Deps) http.Handler {
	e := newEndpoint(res, d)
	return e.handler(e.deleteCollection)
}

// deleteCollection has no deadline of its own: a large collection takes long.
func (e *endpoint) deleteCollection(w http.ResponseWriter, r *http.Request) error {
	storage, ok := e.Storage.(rest.CollectionDeleter)
	if !ok {
		return e.unsupported("deletecollection")
	}
	t := targetOf(r)
	t.name = ""
	ctx := request.WithNamespace(r.Context(), t.namespace)
	if err := e.negotiate(r); err != nil {
		return err
	}
	selection, err := e.listOptions(r)
	if err != nil {
		return err
	}
	options, err := e.deleteOptions(r)
	if err != nil {
		return err
	}
	if ignoresReadErrors(options) {
		return invalidOptions("DeleteOptions", field.ErrorList{
			field.Invalid(field.NewPath("ignoreStoreReadErrorWithClusterBreakingPotential"), true, "is not allowed with DELETECOLLECTION, try again after removing the option"),
		})
	}
	attributes := e.attributes(t, admission.Delete, nil, nil, options, dryrun.IsDryRun(options.DryRun))
	result, err := storage.DeleteCollection(ctx, rest.AdmissionToValidateObjectDeleteFunc(e.deps.Admission, attributes, e), options, selection)
	if result, err = outcome(ctx, result, err); err != nil {
		return err
	}
	if result == nil {
		result = &metav1.Status{
			Status:  metav1.StatusSuccess,
			Code:    http.StatusOK,
			Details: &metav1.StatusDetails{Kind: e.Kind.Kind},
		}
	}
	encode.Object(w, r, e.Resource, http.StatusOK, result)
	return nil
}

// listOptions say which objects of the collection.
func (e *endpoint) listOptions(r *http.Request) (*internalversion.ListOptions, error) {
	o := &internalversion.ListOptions{}
	if err := parseQuery(r, o); err != nil {
		return nil, err
	}
	watchList := utilfeature.DefaultFeatureGate.Enabled(features.WatchList)
	internalversion.SetListOptionsDefaults(o, watchList)
	if err := invalidOptions("ListOptions", metainternalversionvalidation.ValidateListOptions(o, watchList)); err != nil {
		return nil, err
	}
	if o.FieldSelector == nil {
		return o, nil
	}
	selector, err := o.FieldSelector.Transform(func(label, value string) (string, string, error) {
		return e.Convertor.ConvertFieldLabel(e.Kind, label, value)
	})
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	o.FieldSelector = selector
	return o, nil
}
