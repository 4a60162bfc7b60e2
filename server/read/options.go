package read

import (
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metainternalscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metainternalvalidation "k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/features"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
)

// nameField selects one object by name.
const nameField = "metadata.name"

// listOptions reads and checks the query of a list or watch.
func (e *endpoint) listOptions(r *http.Request) (*metainternal.ListOptions, error) {
	options := &metainternal.ListOptions{}
	if err := metainternalscheme.ParameterCodec.DecodeParameters(r.URL.Query(), metav1.SchemeGroupVersion, options); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	watchList := utilfeature.DefaultFeatureGate.Enabled(features.WatchList)
	metainternal.SetListOptionsDefaults(options, watchList)
	if errs := metainternalvalidation.ValidateListOptions(options, watchList); len(errs) > 0 {
		return nil, apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "ListOptions"}, "", errs)
	}
	if options.FieldSelector != nil {
		convert := func(label, value string) (string, string, error) {
			return e.Convertor.ConvertFieldLabel(e.Kind, label, value)
		}
		converted, err := options.FieldSelector.Transform(convert)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		options.FieldSelector = converted
	}
	// A name in the path of a watch is the same as a field selector.
	info, _ := request.RequestInfoFrom(r.Context())
	if info.Name == "" {
		return options, nil
	}
	if options.FieldSelector == nil || options.FieldSelector.Empty() {
		options.FieldSelector = fields.OneTermEqualSelector(nameField, info.Name)
		return options, nil
	}
	if selected, ok := options.FieldSelector.RequiresExactMatch(nameField); !ok || selected != info.Name {
		return nil, apierrors.NewBadRequest("fieldSelector metadata.name doesn't match requested name")
	}
	return options, nil
}
