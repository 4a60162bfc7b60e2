package builtin

import (
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsv1beta1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	apiextensionsapiserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	serverstorage "k8s.io/apiserver/pkg/server/storage"

	"github.com/howdah/howdah/server/objects"
)

// definitionsProvider makes the storages of CustomResourceDefinitions, which
// have a scheme of their own. What they define is in server/custom.
type definitionsProvider struct{ getter *objects.Getter }

func (definitionsProvider) GroupName() string { return apiextensions.GroupName }

func (p definitionsProvider) NewRESTStorage(apis serverstorage.APIResourceConfigSource, _ generic.RESTOptionsGetter) (genericapiserver.APIGroupInfo, error) {
	group := genericapiserver.NewDefaultAPIGroupInfo(apiextensions.GroupName,
		apiextensionsapiserver.Scheme, metav1.ParameterCodec, apiextensionsapiserver.Codecs)
	version := apiextensionsv1.SchemeGroupVersion
	const name = "customresourcedefinitions"
	if !apis.ResourceEnabled(version.WithResource(name)) {
		return group, nil
	}
	// Stored as upstream stores them: where all versions have one schema, v1beta1
	// has it once.
	definitions, err := customresourcedefinition.NewREST(apiextensionsapiserver.Scheme,
		p.getter.InScheme(apiextensionsapiserver.Scheme, apiextensionsv1beta1.SchemeGroupVersion))
	if err != nil {
		return group, err
	}
	group.VersionedResourcesStorageMap[version.Version] = map[string]rest.Storage{
		name:             definitions,
		name + "/status": customresourcedefinition.NewStatusREST(apiextensionsapiserver.Scheme, definitions),
	}
	return group, nil
}
