package write

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	kjson "sigs.k8s.io/json"

	"github.com/howdah/howdah/server/audit"
	"github.com/howdah/howdah/server/resource"
)

// Patch serves PATCH in the four forms: JSON patch, JSON merge patch,
// strategic merge patch and apply.
func Patch(res *resource.Resource, d Deps) http.Handler {
	e := newEndpoint(res, d)
	forms := e.patchTypes()
	return e.handler(func(w http.ResponseWriter, r *http.Request) error { return e.patch(w, r, forms) })
}

// patchTypes are the forms this row takes. Only compiled-in types know how to
// merge strategically.
func (e *endpoint) patchTypes() []string {
	forms := []string{string(types.JSONPatchType), string(types.MergePatchType)}
	if !e.untyped() {
		forms = append(forms, string(types.StrategicMergePatchType))
	}
	return append(forms, string(types.ApplyYAMLPatchType))
}

func (e *endpoint) untyped() bool {
	obj, err := e.Creater.New(e.Kind)
	if err != nil {
		return false
	}
	_, is := obj.(runtime.Unstructured)
	return is
}

func (e *endpoint) patch(w http.ResponseWriter, r *http.Request, forms []string) error {
	storage, ok := e.Storage.(rest.Patcher)
	if !ok {
		return e.unsupported("patch")
	}
	contentType := r.Header.Get("Content-Type")
	if i := strings.Index(contentType, ";"); i > 0 {
		contentType = contentType[:i]
	}
	form := types.PatchType(contentType)
	if !slices.Contains(forms, contentType) {
		return negotiation.NewUnsupportedMediaTypeError(forms)
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
	body, err := readBody(r, e.deps.MaxBodyBytes)
	if err != nil {
		return err
	}
	options, err := patchOptions(r, form)
	if err != nil {
		return err
	}
	p := patch{
		endpoint:   e,
		body:       body,
		validation: fieldValidationOf(options.FieldValidation),
		empty:      storage.New,
	}
	if err := p.wellFormed(form); err != nil {
		return err
	}
	audit.Patch(ctx, func() ([]byte, error) { return p.asJSON(form) })

	c := &change{endpoint: e, target: t, options: updating(options), manager: manager(options.FieldManager, r)}
	var apply func(ctx context.Context, current runtime.Object) (runtime.Object, error)
	switch form {
	case types.JSONPatchType:
		apply = p.jsonPatch
	case types.MergePatchType:
		apply = p.mergePatch
	case types.StrategicMergePatchType:
		apply = p.strategicMergePatch
	}
	c.next = func(ctx context.Context, current runtime.Object) (runtime.Object, error) {
		exists, err := hasUID(current)
		if err != nil {
			return nil, err
		}
		var obj runtime.Object
		switch {
		case form == types.ApplyYAMLPatchType:
			obj, err = p.serverSideApply(ctx, current, exists, options)
		case !exists:
			err = apierrors.NewNotFound(e.GroupResource(), t.name)
		default:
			if obj, err = apply(ctx, current); err == nil {
				obj = e.track(current, obj, c.manager)
			}
		}
		if err != nil {
			return nil, err
		}
		return obj, p.fits(t, obj, exists)
	}
	return c.store(ctx, w, r, storage, form == types.ApplyYAMLPatchType)
}

// A patch is what the ways of patching have in common.
type patch struct {
	*endpoint
	body       []byte
	validation fieldValidation
	empty      func() runtime.Object
}

// wellFormed refuses bodies that are not even JSON, or YAML.
func (p *patch) wellFormed(form types.PatchType) error {
	if form == types.ApplyYAMLPatchType {
		return p.wellFormedYAML()
	}
	if !json.Valid(p.body) {
		return apierrors.NewBadRequest("invalid JSON patch")
	}
	return nil
}

func (p *patch) asJSON(form types.PatchType) ([]byte, error) {
	if form == types.ApplyYAMLPatchType {
		return yaml.ToJSON(p.body)
	}
	return p.body, nil
}

// fits refuses a patched object that is no longer the one that the path names.
func (p *patch) fits(t target, obj runtime.Object, exists bool) error {
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if uid := accessor.GetUID(); uid != "" && !exists {
		return apierrors.NewConflict(p.GroupResource(), t.name, fmt.Errorf("uid mismatch: the provided object specified uid %s, and no existing object was found", uid))
	}
	if err := p.fitNamespace(t, obj); err != nil {
		return err
	}
	return checkName(t, obj)
}

// changes is a patch that is an object, with what strict decoding found.
func (p *patch) changes() (changes map[string]any, found []error, err error) {
	changes = map[string]any{}
	if p.validation.looks() {
		found, err = kjson.UnmarshalStrict(p.body, &changes)
	} else {
		err = kjson.UnmarshalCaseSensitivePreserveInts(p.body, &changes)
	}
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	return changes, found, nil
}

// findings reports what strict decoding found in a patch and its result: as
// warnings, or as an error that shows the patched document.
func (p *patch) findings(ctx context.Context, found []error, shown func() string) error {
	switch {
	case len(found) == 0:
		return nil
	case p.validation == metav1.FieldValidationWarn:
		warnOfFields(ctx, found)
		return nil
	}
	return invalidPatch(shown(), runtime.NewStrictDecodingError(found))
}

func invalidPatch(shown string, cause error) error {
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{
		field.Invalid(field.NewPath("patch"), shown, cause.Error()),
	})
}
