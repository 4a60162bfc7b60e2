package builtin

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	apiservicestore "k8s.io/kube-aggregator/pkg/registry/apiservice/etcd"

	"github.com/howdah/howdah/server/objects"
)

// apiServicesProvider makes the storages of APIServices, which have a scheme of
// their own. What they do is in server/aggregation.
type apiServicesProvider struct{ getter *objects.Getter }

func (apiServicesProvider) GroupName() string { return apiregistration.GroupName }

func (p apiServicesProvider) NewRESTStorage(apis serverstorage.APIResourceConfigSource, _ generic.RESTOptionsGetter) (genericapiserver.APIGroupInfo, error) {
	group := genericapiserver.NewDefaultAPIGroupInfo(apiregistration.GroupName,
		aggregatorscheme.Scheme, metav1.ParameterCodec, aggregatorscheme.Codecs)
	version := apiregistrationv1.SchemeGroupVersion
	const name = "apiservices"
	if !apis.ResourceEnabled(version.WithResource(name)) {
		return group, nil
	}
	services := apiservicestore.NewREST(aggregatorscheme.Scheme, p.getter.InScheme(aggregatorscheme.Scheme, version))
	group.VersionedResourcesStorageMap[version.Version] = map[string]rest.Storage{
		name:             services,
		name + "/status": apiservicestore.NewStatusREST(aggregatorscheme.Scheme, services),
	}
	return group, nil
}
