package write

import (
	"context"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/util/dryrun"

	"github.com/howdah/howdah/server/audit"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
)

// Create serves POST to a collection, and to subresources that are created
// (bindings, evictions, tokens).
func Create(res *resource.Resource, d Deps) http.Handler {
	e := newEndpoint(res, d)
	return e.handler(e.create)
}

// creater is what a row's storage can do on create, with or without the name
// of the object in the path.
type creater struct {
	new    func() runtime.Object
	create func(ctx context.Context, name string, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error)
	named  bool
	// preserves: bodies of this subresource keep the metadata that the system
	// usually fills.
	preserves bool
}

func (e *endpoint) creater() (creater, error) {
	var c creater
	switch storage := e.Storage.(type) {
	case rest.NamedCreater:
		c.new, c.create, c.named = storage.New, storage.Create, true
	case rest.Creater:
		c.new = storage.New
		c.create = func(ctx context.Context, _ string, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
			return storage.Create(ctx, obj, validate, options)
		}
	default:
		return c, e.unsupported("create")
	}
	if p, ok := e.Storage.(rest.SubresourceObjectMetaPreserver); ok && e.Subresource != "" {
		c.preserves = p.PreserveRequestObjectMetaSystemFieldsOnSubresourceCreate()
	}
	return c, nil
}

func (e *endpoint) create(w http.ResponseWriter, r *http.Request) error {
	storage, err := e.creater()
	if err != nil {
		return err
	}
	t := targetOf(r)
	if storage.named && t.name == "" {
		return errNoName
	}
	ctx, cancel := context.WithTimeout(r.Context(), e.deps.Timeout)
	defer cancel()
	if err := e.negotiate(r); err != nil {
		return err
	}
	decoder, err := e.decoders.forContentType(r.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	body, err := readBody(r, e.deps.MaxBodyBytes)
	if err != nil {
		return err
	}
	options, err := createOptions(r)
	if err != nil {
		return err
	}
	obj, known, err := e.decodeCreated(ctx, r.Header.Get("Content-Type"), decoder, fieldValidationOf(options.FieldValidation), body, storage.new())
	if err != nil {
		return err
	}

	audit.Request(r.Context(), e.Resource, obj, e.Kind.GroupVersion(), nil)
	if t.name == "" {
		t.name = nameOf(obj)
	}
	if t.namespace == "" && e.GroupVersionResource == namespaces {
		t.namespace = t.name
	}
	ctx = request.WithNamespace(ctx, t.namespace)
	if accessor, err := meta.Accessor(obj); err == nil && !storage.preserves {
		rest.WipeObjectMetaSystemFields(accessor)
	}
	if err := e.fitNamespace(t, obj); err != nil {
		return err
	}
	attributes := e.attributes(t, admission.Create, obj, nil, options, dryrun.IsDryRun(options.DryRun))

	dedupOwners(ctx, obj, duplicateOwners)
	empty, err := e.Creater.New(e.Kind)
	if err != nil {
		return fmt.Errorf("failed to create new object (Create for %v): %w", e.Kind, err)
	}
	ctx, written := objects.WithWritten(ctx)
	add := func() (runtime.Object, error) {
		obj = e.trackCreated(empty, obj, manager(options.FieldManager, r), known)
		if err := e.mutate(ctx, attributes); err != nil {
			return nil, err
		}
		dedupOwners(ctx, obj, duplicateOwnersAdmission)
		return storage.create(ctx, t.name, obj, e.createValidation(attributes), options)
	}
	result, err := e.within(ctx, add)
	if result, err = outcome(ctx, result, err); err != nil {
		return err
	}
	if status, ok := result.(*metav1.Status); ok && status.Code == 0 {
		status.Code = http.StatusCreated
	}
	e.respond(w, r, http.StatusCreated, result, written)
	return nil
}
