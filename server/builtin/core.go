package builtin

import (
	"crypto/tls"
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/kubernetes"
	api "k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/cluster/ports"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/registry/core/componentstatus"
	endpointsstore "k8s.io/kubernetes/pkg/registry/core/endpoint/storage"
	limitrangestore "k8s.io/kubernetes/pkg/registry/core/limitrange/storage"
	nodestore "k8s.io/kubernetes/pkg/registry/core/node/storage"
	pvstore "k8s.io/kubernetes/pkg/registry/core/persistentvolume/storage"
	pvcstore "k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim/storage"
	podstore "k8s.io/kubernetes/pkg/registry/core/pod/storage"
	podtemplatestore "k8s.io/kubernetes/pkg/registry/core/podtemplate/storage"
	controllerstore "k8s.io/kubernetes/pkg/registry/core/replicationcontroller/storage"
	corerest "k8s.io/kubernetes/pkg/registry/core/rest"
	servicestore "k8s.io/kubernetes/pkg/registry/core/service/storage"
	serviceaccountstore "k8s.io/kubernetes/pkg/registry/core/serviceaccount/storage"
	kubeschedulerconfig "k8s.io/kubernetes/pkg/scheduler/apis/config"
)

// coreProvider makes the storages of the core group. Those that need nothing
// special (config maps, secrets, events, namespaces, quotas) are upstream's
// provider's; the rest is wired here, because upstream's wiring allocates
// service addresses and ports in an etcd of its own.
type coreProvider struct {
	Config
	services serviceAllocators
	client   kubernetes.Interface
}

func (p coreProvider) GroupName() string { return api.GroupName }

func (p coreProvider) NewRESTStorage(apis serverstorage.APIResourceConfigSource, getter generic.RESTOptionsGetter) (genericapiserver.APIGroupInfo, error) {
	group, err := (&corerest.GenericConfig{
		EventTTL:             p.EventTTL,
		LoopbackClientConfig: p.Loopback,
		Informers:            p.Informers,
	}).NewRESTStorage(apis, getter)
	if err != nil {
		return group, err
	}
	storages := group.VersionedResourcesStorageMap["v1"]
	if storages == nil {
		storages = map[string]rest.Storage{}
	}
	made, err := p.storages(getter, storages)
	if err != nil {
		return group, err
	}
	for path, storage := range made {
		if apis.ResourceEnabled(corev1.SchemeGroupVersion.WithResource(parent(path))) {
			storages[path] = storage
		}
	}
	if len(storages) > 0 {
		group.VersionedResourcesStorageMap["v1"] = storages
	}
	return group, nil
}

// storages makes what the generic part of the core group has not.
func (p coreProvider) storages(getter generic.RESTOptionsGetter, generics map[string]rest.Storage) (map[string]rest.Storage, error) {
	podTemplates, err := podtemplatestore.NewREST(getter)
	if err != nil {
		return nil, err
	}
	limitRanges, err := limitrangestore.NewREST(getter)
	if err != nil {
		return nil, err
	}
	volumes, volumesStatus, err := pvstore.NewREST(getter)
	if err != nil {
		return nil, err
	}
	claims, claimsStatus, err := pvcstore.NewREST(getter)
	if err != nil {
		return nil, err
	}
	endpoints, err := endpointsstore.NewREST(getter)
	if err != nil {
		return nil, err
	}
	controllers, err := controllerstore.NewStorage(getter)
	if err != nil {
		return nil, err
	}
	nodes, err := nodestore.NewStorage(getter, p.Kubelet.addresses(), p.Proxy)
	if err != nil {
		return nil, err
	}
	kubelets, err := p.Kubelet.connections(nodes.KubeletConnectionInfo)
	if err != nil {
		return nil, err
	}
	nodes.Proxy.Connection = kubelets
	pods, err := podstore.NewStorage(getter, kubelets, p.Proxy, p.client.PolicyV1(), p.Authorizer)
	if err != nil {
		return nil, err
	}
	services, servicesStatus, servicesProxy, err := servicestore.NewREST(getter,
		p.services.family, p.services.addresses, p.services.ports, endpointSlices{p.client}, pods.Pod, p.Proxy)
	if err != nil {
		return nil, err
	}

	storages := map[string]rest.Storage{
		"bindings":                      pods.LegacyBinding,
		"componentstatuses":             componentstatus.NewStorage(components),
		"endpoints":                     endpoints,
		"limitranges":                   limitRanges,
		"nodes":                         nodes.Node,
		"nodes/proxy":                   nodes.Proxy,
		"nodes/status":                  nodes.Status,
		"persistentvolumeclaims":        claims,
		"persistentvolumeclaims/status": claimsStatus,
		"persistentvolumes":             volumes,
		"persistentvolumes/status":      volumesStatus,
		"pods":                          pods.Pod,
		"pods/attach":                   pods.Attach,
		"pods/binding":                  pods.Binding,
		"pods/ephemeralcontainers":      pods.EphemeralContainers,
		"pods/eviction":                 pods.Eviction,
		"pods/exec":                     pods.Exec,
		"pods/log":                      pods.Log,
		"pods/portforward":              pods.PortForward,
		"pods/proxy":                    pods.Proxy,
		"pods/status":                   pods.Status,
		"podtemplates":                  podTemplates,
		"replicationcontrollers":        controllers.Controller,
		"replicationcontrollers/scale":  controllers.Scale,
		"replicationcontrollers/status": controllers.Status,
		"services":                      services,
		"services/proxy":                servicesProxy,
		"services/status":               servicesStatus,
	}
	if utilfeature.DefaultFeatureGate.Enabled(features.InPlacePodVerticalScaling) {
		storages["pods/resize"] = pods.Resize
	}
	if p.ServiceAccounts != nil {
		err = p.addServiceAccounts(storages, getter, pods, nodes, generics["secrets"])
	}
	return storages, err
}

// addServiceAccounts replaces upstream's generic service accounts by those
// that issue tokens bound to pods, nodes and secrets.
func (p coreProvider) addServiceAccounts(storages map[string]rest.Storage, getter generic.RESTOptionsGetter, pods podstore.PodStorage, nodes *nodestore.NodeStorage, secrets rest.Storage) error {
	secretGetter, ok := secrets.(rest.Getter)
	if !ok {
		return errors.New("service accounts can issue tokens only while secrets are served: turn secrets on in --runtime-config")
	}
	var nodeGetter rest.Getter
	if utilfeature.DefaultFeatureGate.Enabled(features.ServiceAccountTokenNodeBinding) ||
		utilfeature.DefaultFeatureGate.Enabled(features.ServiceAccountTokenPodNodeInfo) {
		nodeGetter = nodes.Node.Store
	}
	webhooks := p.client.AdmissionregistrationV1()
	accounts, err := serviceaccountstore.NewREST(getter, p.ServiceAccounts.Issuer, p.APIAudiences, p.Authorizer,
		p.ServiceAccounts.MaxExpiration, pods.Pod.Store, secretGetter, nodeGetter,
		webhooks.ValidatingWebhookConfigurations(), webhooks.MutatingWebhookConfigurations(),
		p.ServiceAccounts.ExtendExpiration, p.ServiceAccounts.MaxExtendedExpiration)
	if err != nil {
		return err
	}
	storages["serviceaccounts"] = accounts
	if accounts.Token != nil {
		storages["serviceaccounts/token"] = accounts.Token
	}
	return nil
}

// components are what componentstatuses asks for their health: the ports that
// a kube-scheduler and kube-controller-manager on this host listen on.
func components() map[string]componentstatus.Server {
	local := func(port int) componentstatus.Server {
		return &componentstatus.HttpServer{
			EnableHTTPS: true, TLSConfig: &tls.Config{InsecureSkipVerify: true},
			Addr: "127.0.0.1", Port: port, Path: "/healthz",
		}
	}
	return map[string]componentstatus.Server{
		"controller-manager": local(ports.KubeControllerManagerPort),
		"scheduler":          local(kubeschedulerconfig.DefaultKubeSchedulerPort),
	}
}

func parent(path string) string {
	name, _, _ := strings.Cut(path, "/")
	return name
}
