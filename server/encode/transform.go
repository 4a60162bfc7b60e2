package encode

import (
	"context"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternalscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1beta1 "k8s.io/apimachinery/pkg/apis/meta/v1beta1"
	metav1beta1validation "k8s.io/apimachinery/pkg/apis/meta/v1beta1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/howdah/howdah/server/resource"
)

// TableOptions reads the query parameters of an answer that becomes a Table;
// nil for other answers.
func (f Format) TableOptions(r *http.Request) (*metav1.TableOptions, error) {
	if !f.As("Table") {
		return nil, nil
	}
	options := &metav1.TableOptions{}
	if err := metainternalscheme.ParameterCodec.DecodeParameters(r.URL.Query(), metav1.SchemeGroupVersion, options); err != nil {
		return nil, err
	}
	switch errs := metav1beta1validation.ValidateTableOptions(options); len(errs) {
	case 0:
		return options, nil
	case 1:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("Unable to convert to Table as requested: %v", errs[0].Error()))
	default:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("Unable to convert to Table as requested: %v", errs))
	}
}

// Transform turns an object (or list) into the format's target; options are
// those of [Format.TableOptions]. A Status stays what it is.
func (f Format) Transform(ctx context.Context, res *resource.Resource, options *metav1.TableOptions, obj runtime.Object) (runtime.Object, error) {
	if _, ok := obj.(*metav1.Status); ok || f.Target == nil {
		return obj, nil
	}
	switch f.Target.Kind {
	case "Table":
		return f.table(ctx, res, options, obj)
	case "PartialObjectMetadata":
		if meta.IsListType(obj) {
			return nil, notAcceptable("you requested PartialObjectMetadata, but the requested object is a list (%T)", obj)
		}
		return f.Partial(obj)
	default:
		return f.partialList(obj)
	}
}

func (f Format) table(ctx context.Context, res *resource.Resource, options *metav1.TableOptions, obj runtime.Object) (runtime.Object, error) {
	table, err := res.Table.ConvertToTable(ctx, obj, options)
	if err != nil {
		return nil, err
	}
	for i := range table.Rows {
		if err := f.Include(res, options, &table.Rows[i]); err != nil {
			return nil, err
		}
	}
	return table, nil
}

// Include leaves of a row's object what the options ask for.
func (f Format) Include(res *resource.Resource, options *metav1.TableOptions, row *metav1.TableRow) error {
	initialEnd, err := apistorage.HasInitialEventsEndBookmarkAnnotation(row.Object.Object)
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("unable to determine if the obj has the required annotation, err: %w", err))
	}
	switch {
	case options.IncludeObject == metav1.IncludeObject:
		row.Object.Object, err = res.Convertor.ConvertToVersion(row.Object.Object, res.Kind.GroupVersion())
	case options.IncludeObject == metav1.IncludeMetadata, options.IncludeObject == "", initialEnd:
		row.Object.Object, err = f.Partial(row.Object.Object)
	case options.IncludeObject == metav1.IncludeNone:
		row.Object.Object = nil
	default:
		err = apierrors.NewBadRequest(fmt.Sprintf("unrecognized includeObject value: %q", options.IncludeObject))
	}
	return err
}

// Partial is the object's metadata in the group version of the format's target.
func (f Format) Partial(obj runtime.Object) (*metav1.PartialObjectMetadata, error) {
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	partial := meta.AsPartialObjectMetadata(m)
	partial.SetGroupVersionKind(f.Target.GroupVersion().WithKind("PartialObjectMetadata"))
	return partial, nil
}

func (f Format) partialList(obj runtime.Object) (runtime.Object, error) {
	list, ok := obj.(metav1.ListInterface)
	if !ok {
		return nil, notAcceptable("you requested PartialObjectMetadataList, but the requested object is not a list (%T)", obj)
	}
	items := []metav1.PartialObjectMetadata(nil)
	err := meta.EachListItem(obj, func(item runtime.Object) error {
		partial, err := f.Partial(item)
		if err == nil {
			items = append(items, *partial)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	listMeta := metav1.ListMeta{
		ResourceVersion: list.GetResourceVersion(), Continue: list.GetContinue(), RemainingItemCount: list.GetRemainingItemCount(),
	}
	if f.Target.GroupVersion() == metav1beta1.SchemeGroupVersion {
		return &metav1beta1.PartialObjectMetadataList{ListMeta: listMeta, Items: items}, nil
	}
	return &metav1.PartialObjectMetadataList{ListMeta: listMeta, Items: items}, nil
}

func notAcceptable(format string, args ...any) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusNotAcceptable,
		Reason:  metav1.StatusReasonNotAcceptable,
		Message: fmt.Sprintf(format, args...),
	}}
}
