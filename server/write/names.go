package write

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
)

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

func nameOf(obj runtime.Object) string {
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return ""
	}
	return accessor.GetName()
}

// fitNamespace gives the object the namespace of the path, or refuses an
// object that names another one.
func (e *endpoint) fitNamespace(t target, obj runtime.Object) error {
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return nil // no metadata
	}
	return rest.EnsureObjectNamespaceMatchesRequestNamespace(
		rest.ExpectedNamespaceForResource(t.namespace, e.GroupVersionResource), accessor)
}

// checkName refuses an object with another name than the path's.
func checkName(t target, obj runtime.Object) error {
	accessor, err := meta.Accessor(obj)
	if err == nil && accessor.GetName() == "" {
		err = errNoName
	}
	if err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s based on URL) was undeterminable: %v", t.name, err))
	}
	if name := accessor.GetName(); name != t.name {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", name, t.name))
	}
	if namespace := accessor.GetNamespace(); t.namespace != "" && namespace != "" && namespace != t.namespace {
		return apierrors.NewBadRequest(fmt.Sprintf("the namespace of the object (%s) does not match the namespace on the request (%s)", namespace, t.namespace))
	}
	return nil
}
