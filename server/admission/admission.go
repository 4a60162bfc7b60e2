// Package admission owns the chain of upstream's admission plugins that every
// change passes (https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/):
// which of them run, in which order, and what they are given.
package admission

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"os"
	"strings"
	"time"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	webhookinit "k8s.io/apiserver/pkg/admission/plugin/webhook/initializer"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	utilcompatibility "k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	controlplaneadmission "k8s.io/kubernetes/pkg/controlplane/apiserver/admission"
	kubeapiserveradmission "k8s.io/kubernetes/pkg/kubeapiserver/admission"
	"k8s.io/kubernetes/pkg/kubeapiserver/admission/exclusion"
	quotainstall "k8s.io/kubernetes/pkg/quota/v1/install"

	"github.com/howdah/howdah/server/listers"
	"github.com/howdah/howdah/server/objects"
)

// Config is what the plugins are given.
type Config struct {
	Options
	// Loopback is how plugins call the API that they guard.
	Loopback *restclient.Config
	// Informers are over the loopback; New asks for those that the plugins
	// watch, the caller starts them.
	Informers informers.SharedInformerFactory
	// Objects are where the plugins look up what would be much to watch.
	Objects *objects.Getter
	// APIs are the resources that are served.
	APIs serverstorage.APIResourceConfigSource
	// Authorizer answers the plugins that ask for further permissions.
	Authorizer authorizer.Authorizer
	Metrics    *Metrics
	// Stop ends what the plugins run in the background.
	Stop <-chan struct{}
}

// Hook is the name of the health check that waits for what the plugins watch.
const Hook = "start-apiserver-admission-initializer"

// mapperLifetime bounds how long plugins know of a resource that is no longer
// served; it is kube-apiserver's.
const mapperLifetime = 30 * time.Second

// New returns the chain of the plugins that the options choose.
func New(c Config) (admission.Interface, error) {
	plugins, err := c.plugins()
	if err != nil {
		return nil, err
	}
	names := c.names()
	configuration, err := c.configuration(names)
	if err != nil {
		return nil, err
	}
	initialize, err := initializers(c)
	if err != nil {
		return nil, err
	}
	chain, err := plugins.NewFromPlugins(names, configuration, initialize, admission.Decorators{
		admission.DecoratorFunc(idling{c.Objects, configuration}.decorate),
		admission.DecoratorFunc(c.Metrics.plugin),
	})
	if err != nil {
		return nil, fmt.Errorf("make the admission plugins: %w", err)
	}
	return admission.WithAudit(c.Metrics.chain(chain)), nil
}

// initializers give each plugin what it wants.
func initializers(c Config) (admission.PluginInitializer, error) {
	client, err := kubernetes.NewForConfig(c.Loopback)
	if err != nil {
		return nil, fmt.Errorf("make a client for the admission plugins: %w", err)
	}
	untyped, err := dynamic.NewForConfig(c.Loopback)
	if err != nil {
		return nil, fmt.Errorf("make a client for the admission plugins: %w", err)
	}
	lean, err := listers.NewFactory(c.Informers, c.Objects)
	if err != nil {
		return nil, err
	}
	services, err := NewServiceResolver(c.Objects, c.AggregatorRouting)
	if err != nil {
		return nil, err
	}
	quotas, err := quotainstall.NewQuotaConfigurationForAdmission(lean, c.APIs)
	if err != nil {
		return nil, fmt.Errorf("prepare what quotas count: %w", err)
	}
	server, err := serverID()
	if err != nil {
		return nil, err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	go func() {
		defer utilruntime.HandleCrash()
		wait.Until(mapper.Reset, mapperLifetime, c.Stop)
	}()
	return admission.PluginInitializers{
		initializer.NewAPIServerIDInitializer(server),
		initializer.New(client, untyped, lean, c.Authorizer, utilfeature.DefaultFeatureGate,
			utilcompatibility.DefaultBuildEffectiveVersion(), c.Stop, mapper),
		kubeapiserveradmission.NewPluginInitializer(),
		webhookinit.NewPluginInitializer(WebhookClients(c.Loopback), services),
		controlplaneadmission.NewPluginInitializer(quotas, exclusion.Excluded()),
	}, nil
}

// serverID names this server in metrics, as kube-apiserver does.
func serverID() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("learn this machine's name: %w", err)
	}
	hash := sha256.Sum256([]byte(host))
	return "apiserver-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(hash[:16])), nil
}
