package write

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// strategicMergePatch applies a patch whose lists merge as the Go types say.
func (p *patch) strategicMergePatch(ctx context.Context, current runtime.Object) (runtime.Object, error) {
	changes, found, err := p.changes()
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		if obj, err := p.inPlace(current, changes, strategicMerger{}); err == nil {
			return obj, nil
		}
		// Merging may have used up parts of the patch.
		if changes, found, err = p.changes(); err != nil {
			return nil, err
		}
	}
	return p.strategicMerge(ctx, current, changes, found)
}

// strategicMerge patches the whole object; found is what was wrong with the
// patch itself.
func (p *patch) strategicMerge(ctx context.Context, current runtime.Object, changes map[string]any, found []error) (runtime.Object, error) {
	versioned, err := p.UnsafeConvertor.ConvertToVersion(current, p.Kind.GroupVersion())
	if err != nil {
		return nil, err
	}
	original, err := runtime.DefaultUnstructuredConverter.ToUnstructured(versioned)
	if err != nil {
		return nil, err
	}
	obj, err := p.Creater.New(p.Kind)
	if err != nil {
		return nil, err
	}
	// The new object also tells the merge its Go types.
	patched, err := strategicpatch.StrategicMergeMapPatch(original, changes, obj)
	if err != nil {
		return nil, strategicError(err)
	}
	shown := func() string { return fmt.Sprintf("%+v", changes) }
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(patched, obj, p.validation.looks()); err != nil {
		strict, is := runtime.AsStrictDecodingError(err)
		if !is {
			return nil, invalidPatch(shown(), err)
		}
		found = append(found, strict.Errors()...)
	}
	if err := p.findings(ctx, found, shown); err != nil {
		return nil, err
	}
	p.Defaulter.Default(obj)
	return p.UnsafeConvertor.ConvertToVersion(obj, p.Hub)
}

// strategicError gives the merge's own errors their status.
func strategicError(err error) error {
	for _, bad := range []error{
		mergepatch.ErrBadJSONDoc, mergepatch.ErrBadPatchFormatForPrimitiveList,
		mergepatch.ErrBadPatchFormatForRetainKeys, mergepatch.ErrBadPatchFormatForSetElementOrderList,
		mergepatch.ErrUnsupportedStrategicMergePatchFormat,
	} {
		if errors.Is(err, bad) {
			return apierrors.NewBadRequest(err.Error())
		}
	}
	if errors.Is(err, mergepatch.ErrNoListOfLists) || errors.Is(err, mergepatch.ErrPatchContentNotMatchRetainKeys) {
		return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
	}
	return err
}
