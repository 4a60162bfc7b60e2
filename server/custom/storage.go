package custom

import (
	"context"
	"errors"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/registry/customresource"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
)

// storages are upstream's REST storages of one version, made when they are first
// called: they hold validators and CEL programs.
type storages struct {
	resource schema.GroupResource
	singular string
	kind     schema.GroupVersionKind
	listKind string
	scoped   bool // namespaced
	closed   bool // the definition is being deleted: nothing new
	hooked   bool // a webhook converts
	objects  *objects.Store
	codec    runtime.Codec // between stored bytes and objects of the version
	make     func() (customresource.CustomResourceStorage, error)
}

func onceStorage(make func() (customresource.CustomResourceStorage, error)) func() (customresource.CustomResourceStorage, error) {
	return sync.OnceValues(func() (customresource.CustomResourceStorage, error) {
		made, err := make()
		if err != nil {
			return made, apierrors.NewInternalError(err)
		}
		return made, nil
	})
}

func (s *storages) store() (*genericregistry.Store, error) {
	made, err := s.make()
	if err != nil {
		return nil, err
	}
	return made.CustomResource.Store, nil
}

// await calls upstream's storage. Where that waits for a webhook, nobody has to
// wait longer than ctx lasts.
func await[T any](ctx context.Context, s *storages, f func() (T, error)) (T, error) {
	if !s.hooked {
		return f()
	}
	return resource.Within(ctx, f)
}

// change is [await] for what has two results: updates and deletes.
func (s *storages) change(ctx context.Context, f func() (runtime.Object, bool, error)) (runtime.Object, bool, error) {
	type outcome struct {
		obj  runtime.Object
		flag bool
	}
	o, err := await(ctx, s, func() (outcome, error) {
		obj, flag, err := f()
		return outcome{obj, flag}, err
	})
	return o.obj, o.flag, err
}

// mayCreate refuses new objects while the definition is being deleted.
func (s *storages) mayCreate(name string) error {
	if s.closed {
		return apierrors.NewForbidden(s.resource, name, errors.New("create not allowed while custom resource definition is terminating"))
	}
	return nil
}

// object is the storage of the resource itself.
type object struct{ *storages }

var _ interface {
	rest.StandardStorage
	rest.Scoper
	rest.CorruptObjectDeleterProvider
} = object{}

func (object) Destroy() {}

func (o object) New() runtime.Object {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(o.kind)
	return u
}

func (o object) NewList() runtime.Object {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(o.kind.GroupVersion().WithKind(o.listKind))
	return list
}

func (o object) NamespaceScoped() bool   { return o.scoped }
func (o object) GetSingularName() string { return o.singular }

func (o object) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	store, err := o.store()
	if err != nil {
		return nil, err
	}
	return await(ctx, o.storages, func() (runtime.Object, error) { return store.Get(ctx, name, options) })
}

func (o object) List(ctx context.Context, options *metainternal.ListOptions) (runtime.Object, error) {
	store, err := o.store()
	if err != nil {
		return nil, err
	}
	return await(ctx, o.storages, func() (runtime.Object, error) { return store.List(ctx, options) })
}

func (o object) Watch(ctx context.Context, options *metainternal.ListOptions) (watch.Interface, error) {
	store, err := o.store()
	if err != nil {
		return nil, err
	}
	return store.Watch(ctx, options)
}

func (o object) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	if err := o.mayCreate(nameOf(obj)); err != nil {
		return nil, err
	}
	store, err := o.store()
	if err != nil {
		return nil, err
	}
	ctx = withoutManagedFields(ctx)
	return await(ctx, o.storages, func() (runtime.Object, error) { return store.Create(ctx, obj, validate, options) })
}

func (o object) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, force bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	store, err := o.store()
	if err != nil {
		return nil, false, err
	}
	if o.closed {
		create = func(context.Context, runtime.Object) error { return o.mayCreate(name) }
	}
	return o.change(ctx, func() (runtime.Object, bool, error) {
		return store.Update(ctx, name, info, create, update, force, options)
	})
}

func (o object) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions) (runtime.Object, bool, error) {
	store, err := o.store()
	if err != nil {
		return nil, false, err
	}
	return o.change(ctx, func() (runtime.Object, bool, error) {
		return store.Delete(ctx, name, validate, options)
	})
}

func (o object) DeleteCollection(ctx context.Context, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions, list *metainternal.ListOptions) (runtime.Object, error) {
	store, err := o.store()
	if err != nil {
		return nil, err
	}
	return await(ctx, o.storages, func() (runtime.Object, error) { return store.DeleteCollection(ctx, validate, options, list) })
}

// ConvertToTable is never asked: the row has a table of its own.
func (o object) ConvertToTable(ctx context.Context, obj, options runtime.Object) (*metav1.Table, error) {
	store, err := o.store()
	if err != nil {
		return nil, err
	}
	return store.ConvertToTable(ctx, obj, options)
}

// GetCorruptObjDeleter deletes objects that can't be read; nil when the storage
// can't be made.
func (o object) GetCorruptObjDeleter() rest.GracefulDeleter {
	store, err := o.store()
	if err != nil {
		return nil
	}
	return store.GetCorruptObjDeleter()
}

func nameOf(obj runtime.Object) string {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		return u.GetName()
	}
	return ""
}

// status is the storage of the subresource status.
type status struct{ *storages }

var _ rest.Patcher = status{}

func (status) Destroy()              {}
func (s status) New() runtime.Object { return object(s).New() }

func (s status) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	return object(s).Get(ctx, name, options)
}

func (s status) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, force bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	made, err := s.make()
	if err != nil {
		return nil, false, err
	}
	return s.change(ctx, func() (runtime.Object, bool, error) {
		return made.Status.Update(ctx, name, info, create, update, force, options)
	})
}

// scale is the storage of the subresource scale.
type scale struct{ *storages }

var _ rest.Patcher = scale{}

func (scale) Destroy()            {}
func (scale) New() runtime.Object { return (*customresource.ScaleREST)(nil).New() }

func (s scale) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	made, err := s.make()
	if err != nil {
		return nil, err
	}
	return await(ctx, s.storages, func() (runtime.Object, error) { return made.Scale.Get(ctx, name, options) })
}

func (s scale) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, force bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	made, err := s.make()
	if err != nil {
		return nil, false, err
	}
	return s.change(ctx, func() (runtime.Object, bool, error) {
		return made.Scale.Update(ctx, name, info, create, update, force, options)
	})
}
