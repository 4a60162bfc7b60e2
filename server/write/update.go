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

// Update serves PUT.
func Update(res *resource.Resource, d Deps) http.Handler {
	e := newEndpoint(res, d)
	return e.handler(e.update)
}

func (e *endpoint) update(w http.ResponseWriter, r *http.Request) error {
	storage, ok := e.Storage.(rest.Updater)
	if !ok {
		return e.unsupported("update")
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
	options, err := updateOptions(r)
	if err != nil {
		return err
	}
	decoder, err := e.decoders.forContentType(r.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	decode := func() (runtime.Object, error) {
		obj, err := e.decodeObject(ctx, decoder, fieldValidationOf(options.FieldValidation), body, storage.New())
		if err != nil {
			return nil, err
		}
		if err := e.fitNamespace(t, obj); err != nil {
			return nil, err
		}
		if err := checkName(t, obj); err != nil {
			return nil, err
		}
		dedupOwners(ctx, obj, duplicateOwners)
		return obj, nil
	}
	obj, err := decode()
	if err != nil {
		return err
	}
	audit.Request(r.Context(), e.Resource, obj, e.Kind.GroupVersion(), nil)

	c := &change{endpoint: e, target: t, options: options, manager: manager(options.FieldManager, r)}
	c.requireUID(obj)
	c.next = func(_ context.Context, old runtime.Object) (runtime.Object, error) {
		fresh := obj
		if obj = nil; fresh == nil { // a conflict: the first one was used up
			if fresh, err = decode(); err != nil {
				return nil, err
			}
		}
		return e.track(old, fresh, c.manager), nil
	}
	return c.store(ctx, w, r, storage, false)
}

// A change is one update of an object, by whichever verb. It is the registry's
// rest.UpdatedObjectInfo: asked for the new object given the stored one, again
// each time somebody else was faster.
type change struct {
	*endpoint
	target
	options *metav1.UpdateOptions
	manager string
	uid     *metav1.Preconditions

	// next makes the new object, without admission.
	next func(ctx context.Context, old runtime.Object) (runtime.Object, error)
}

// requireUID makes a UID in the body a precondition.
func (c *change) requireUID(obj runtime.Object) {
	if accessor, err := meta.Accessor(obj); err == nil && accessor.GetUID() != "" {
		uid := accessor.GetUID()
		c.uid = &metav1.Preconditions{UID: &uid}
	}
}

// Preconditions implements rest.UpdatedObjectInfo.
func (c *change) Preconditions() *metav1.Preconditions { return c.uid }

// UpdatedObject implements rest.UpdatedObjectInfo.
func (c *change) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	obj, err := c.next(ctx, old)
	if err != nil {
		return nil, err
	}
	exists, err := hasUID(old)
	if err != nil {
		return nil, fmt.Errorf("unexpected error when extracting UID from oldObj: %w", err)
	}
	if exists {
		if _, ok := c.mutates(admission.Update); ok {
			err = c.mutate(ctx, c.attributes(c.target, admission.Update, obj, old, c.options, c.dryRun()))
		}
	} else if _, ok := c.mutates(admission.Create); ok {
		err = c.mutate(ctx, c.attributes(c.target, admission.Create, obj, nil, creating(c.options), c.dryRun()))
	}
	if err != nil {
		return nil, err
	}
	dedupOwners(ctx, obj, duplicateOwnersAdmission)
	return obj, nil
}

func (c *change) dryRun() bool { return dryrun.IsDryRun(c.options.DryRun) }

// store runs the change and answers.
func (c *change) store(ctx context.Context, w http.ResponseWriter, r *http.Request, storage rest.Updater, allowCreate bool) error {
	ctx, written := objects.WithWritten(ctx)
	toCreate := c.createValidation(c.attributes(c.target, admission.Create, nil, nil, creating(c.options), c.dryRun()))
	toUpdate := c.updateValidation(c.attributes(c.target, admission.Update, nil, nil, c.options, c.dryRun()))
	result, created, err := storage.Update(ctx, c.name, c, c.mayCreate(r, c.target, toCreate), toUpdate, allowCreate, c.options)
	if result, err = outcome(ctx, result, err); err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	c.respond(w, r, status, result, written)
	return nil
}
