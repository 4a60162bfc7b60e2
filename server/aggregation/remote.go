package aggregation

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericfeatures "k8s.io/apiserver/pkg/features"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	utilflowcontrol "k8s.io/apiserver/pkg/util/flowcontrol"
	proxyutil "k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/client-go/transport"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"
	"k8s.io/streaming/pkg/httpstream"
)

// A remote is a group version that another API server answers for, by one spec
// of its APIService.
type remote struct {
	services  *Services
	gv        schema.GroupVersion
	name      string
	spec      apiregistrationv1.APIServiceSpec
	transport http.RoundTripper
	broken    error // why there is no transport

	service   atomic.Pointer[apiregistrationv1.APIService]
	available atomic.Bool
	found     atomic.Pointer[found] // what the server said of itself; nil: nothing yet
	end       context.CancelFunc
}

func newRemote(s *Services, gv schema.GroupVersion, service *apiregistrationv1.APIService) *remote {
	r := &remote{services: s, gv: gv, name: service.Name, spec: service.Spec}
	config := &transport.Config{TLS: transport.TLSConfig{
		Insecure:   r.spec.InsecureSkipTLSVerify,
		ServerName: r.spec.Service.Name + "." + r.spec.Service.Namespace + ".svc",
		CAData:     r.spec.CABundle,

		GetCertHolder: s.certificate,
	}}
	r.transport, r.broken = transport.New(config)
	r.update(service)
	return r
}

// update takes over another version of the APIService with the same spec.
func (r *remote) update(service *apiregistrationv1.APIService) {
	r.service.Store(service)
	available := helper.IsAPIServiceConditionTrue(service, apiregistrationv1.Available)
	if r.available.Swap(available) != available {
		r.services.changes.Add(1)
	}
}

// start checks the server until ctx, or the remote, ends.
func (r *remote) start(ctx context.Context, loops *sync.WaitGroup) {
	ctx, r.end = context.WithCancel(ctx)
	loops.Go(func() { r.watch(ctx) })
}

// ServeHTTP proxies a request, in the name of its caller.
func (r *remote) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if !r.available.Load() {
		http.Error(w, "service unavailable", http.StatusServiceUnavailable)
		return
	}
	if r.broken != nil {
		http.Error(w, r.broken.Error(), http.StatusInternalServerError)
		return
	}
	user, ok := request.UserFrom(req.Context())
	if !ok {
		http.Error(w, "missing user", http.StatusInternalServerError)
		return
	}
	location, err := r.resolve()
	if err != nil {
		r.services.log.Debug("an aggregated API server has no address", "apiservice", r.name, "err", err)
		http.Error(w, "service unavailable", http.StatusServiceUnavailable)
		return
	}
	location.Path, location.RawQuery = req.URL.Path, req.URL.Query().Encode()
	sent, cancel := proxyutil.NewRequestForProxy(location, req)
	defer cancel()
	sent.Header.Del("Authorization")
	uid := ""
	if utilfeature.DefaultFeatureGate.Enabled(genericfeatures.RemoteRequestHeaderUID) {
		uid = user.GetUID()
	}
	upgrade := httpstream.IsUpgradeRequest(req)
	if upgrade { // its connection is dialed beside the round tripper
		transport.SetAuthProxyHeaders(sent, user.GetName(), uid, user.GetGroups(), user.GetExtra())
	}
	authenticated := transport.NewAuthProxyRoundTripper(user.GetName(), uid, user.GetGroups(), user.GetExtra(), r.transport)
	utilflowcontrol.RequestDelegated(req.Context())
	proxy.NewUpgradeAwareHandler(location, authenticated, true, upgrade, responder{}).ServeHTTP(w, sent)
}

// resolve returns the URL of the server's root.
func (r *remote) resolve() (*url.URL, error) {
	at := r.spec.Service
	location, err := r.services.endpoints.ResolveEndpoint(at.Namespace, at.Name, *at.Port)
	if err != nil {
		return nil, err
	}
	return &url.URL{Scheme: "https", Host: location.Host}, nil
}

// responder answers when the other server can't be asked.
type responder struct{}

func (responder) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusServiceUnavailable)
}

// versionOf is the group version of a path; zero for paths of none.
func versionOf(path string) schema.GroupVersion {
	rest, ok := strings.CutPrefix(path, "/apis/")
	if !ok {
		return schema.GroupVersion{}
	}
	group, rest, _ := strings.Cut(rest, "/")
	version, _, _ := strings.Cut(rest, "/")
	return schema.GroupVersion{Group: group, Version: version}
}
