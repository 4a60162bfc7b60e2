package write

import (
	"context"
	"errors"
	"fmt"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "sigs.k8s.io/json"
)

// mergePatch applies an RFC 7386 patch.
func (p *patch) mergePatch(ctx context.Context, current runtime.Object) (runtime.Object, error) {
	var found []error
	var changes map[string]any
	if p.validation.looks() {
		var err error
		if found, err = kjson.UnmarshalStrict(p.body, &changes); err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
		}
	}
	if len(found) == 0 && changes != nil {
		if obj, err := p.inPlace(current, changes, documentMerger{}); err == nil {
			return obj, nil
		}
	}
	return p.documentMerge(ctx, current, found)
}

// documentMerge patches the whole object; found is what was wrong with the
// patch itself.
func (p *patch) documentMerge(ctx context.Context, current runtime.Object, found []error) (runtime.Object, error) {
	document, err := p.document(current)
	if err != nil {
		return nil, err
	}
	patched, err := jsonpatch.MergePatch(document, p.body)
	if errors.Is(err, jsonpatch.ErrBadJSONPatch) {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if err != nil {
		return nil, err
	}
	return p.fromDocument(ctx, patched, found)
}
