package builtin

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	rbacapi "k8s.io/kubernetes/pkg/apis/rbac"
	clusterrole "k8s.io/kubernetes/pkg/registry/rbac/clusterrole/policybased"
	clusterrolestore "k8s.io/kubernetes/pkg/registry/rbac/clusterrole/storage"
	clusterrolebinding "k8s.io/kubernetes/pkg/registry/rbac/clusterrolebinding/policybased"
	clusterrolebindingstore "k8s.io/kubernetes/pkg/registry/rbac/clusterrolebinding/storage"
	role "k8s.io/kubernetes/pkg/registry/rbac/role/policybased"
	rolestore "k8s.io/kubernetes/pkg/registry/rbac/role/storage"
	rolebinding "k8s.io/kubernetes/pkg/registry/rbac/rolebinding/policybased"
	rolebindingstore "k8s.io/kubernetes/pkg/registry/rbac/rolebinding/storage"
	rbacvalidation "k8s.io/kubernetes/pkg/registry/rbac/validation"
)

// policyProvider makes the storages of roles and bindings, whose writers must
// have what they give. Upstream's provider would read all bindings for that.
type policyProvider struct {
	authorizer authorizer.UnconditionalAuthorizer // knows the verbs bind and escalate
	rules      rbacvalidation.AuthorizationRuleResolver
}

func (policyProvider) GroupName() string { return rbacapi.GroupName }

func (p policyProvider) NewRESTStorage(apis serverstorage.APIResourceConfigSource, getter generic.RESTOptionsGetter) (genericapiserver.APIGroupInfo, error) {
	group := genericapiserver.NewDefaultAPIGroupInfo(rbacapi.GroupName, legacyscheme.Scheme, legacyscheme.ParameterCodec, legacyscheme.Codecs)
	version := rbacv1.SchemeGroupVersion
	storages := map[string]rest.Storage{}
	for name, open := range map[string]func() (rest.Storage, error){
		"roles": func() (rest.Storage, error) {
			s, err := rolestore.NewREST(getter)
			return role.NewStorage(s, p.authorizer, p.rules), err
		},
		"rolebindings": func() (rest.Storage, error) {
			s, err := rolebindingstore.NewREST(getter)
			return rolebinding.NewStorage(s, p.authorizer, p.rules), err
		},
		"clusterroles": func() (rest.Storage, error) {
			s, err := clusterrolestore.NewREST(getter)
			return clusterrole.NewStorage(s, p.authorizer, p.rules), err
		},
		"clusterrolebindings": func() (rest.Storage, error) {
			s, err := clusterrolebindingstore.NewREST(getter)
			return clusterrolebinding.NewStorage(s, p.authorizer, p.rules), err
		},
	} {
		made, err := open()
		if err != nil {
			return group, err
		}
		if apis.ResourceEnabled(version.WithResource(name)) {
			storages[name] = made
		}
	}
	if len(storages) > 0 {
		group.VersionedResourcesStorageMap[version.Version] = storages
	}
	return group, nil
}
