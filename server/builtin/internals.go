package builtin

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"
	api "k8s.io/kubernetes/pkg/apis/core"
)

// What kube-apiserver stores for itself and shows in no API, under its keys.
var (
	nodePortRange = internal{
		resource:  api.Resource("servicenodeportallocations"),
		prefix:    "/ranges",
		newObject: func() runtime.Object { return &api.RangeAllocation{} },
		newList:   func() runtime.Object { return nil },
	}
	serverAddresses = internal{
		resource:  api.Resource("apiServerIPInfo"),
		prefix:    "/masterleases",
		newObject: func() runtime.Object { return &api.Endpoints{} },
		newList:   func() runtime.Object { return &api.EndpointsList{} },
	}
)

type internal struct {
	resource           schema.GroupResource
	prefix             string
	newObject, newList func() runtime.Object
}

func (i internal) open(getter generic.RESTOptionsGetter) (storage.Interface, error) {
	options, err := getter.GetRESTOptions(i.resource, i.newObject())
	if err != nil {
		return nil, err
	}
	store, _, err := options.Decorator(options.StorageConfig, i.prefix, nil,
		i.newObject, i.newList, storage.DefaultClusterScopedAttr, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("storage of %s: %w", i.prefix, err)
	}
	return store, nil
}
